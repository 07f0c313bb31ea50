"""What `bench metering` measures with: calls, servers, and one program for each thing that is measured."""
