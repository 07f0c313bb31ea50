//! The consumer's fast reader, called by `metering.clients.fast_reader` through the functions below.
//!
//! It holds no rule of its own: it reads what ingest writes as `metering.domain` does, and a test compares the two. What
//! is written otherwise it names, for Python to read.
//!
//! A reader belongs to one caller at a time. Whoever gets a pointer from `reader_new` or `reader_read` gives it to
//! `reader_free` or `reading_free` once.

mod batch;
mod json;
mod matcher;
mod pack;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice::from_raw_parts;

use batch::{Reader, Reading, Record};
use matcher::{Template, Version};

pub use batch::{Charge, Endpoint, Party};

/// Bytes or numbers of somebody else's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    data: *const u8,
    length: usize,
}

impl View {
    fn of<T>(items: &[T]) -> View {
        View { data: items.as_ptr().cast(), length: std::mem::size_of_val(items) }
    }

    /// # Safety
    /// `data` points to `length` bytes that stay as they are for `'a`, or `length` is 0.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.length == 0 {
            &[]
        } else {
            from_raw_parts(self.data, self.length)
        }
    }
}

/// A reading to look at. Its views hold for as long as it is not freed.
#[repr(C)]
pub struct ReadingView {
    unknown: View,
    odd: View,
    rows: View,
    deltas: View,
    days: View,
    calls: i64,
    earliest_ms: i64,
    latest_ms: i64,
    reading: *mut Reading,
}

/// Which version of these functions this is: a caller that knows another one does not use it.
#[no_mangle]
pub extern "C" fn reader_abi() -> u32 {
    4
}

/// # Safety
/// `upper_ms` points to `count` numbers, at least one: the latency buckets' bounds, rising.
#[no_mangle]
pub unsafe extern "C" fn reader_new(upper_ms: *const i64, count: usize) -> *mut Reader {
    Box::into_raw(Box::new(Reader {
        upper_ms: from_raw_parts(upper_ms, count).to_vec(),
        ..Reader::default()
    }))
}

/// # Safety
/// `reader` comes from `reader_new` and is not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn reader_free(reader: *mut Reader) {
    drop(Box::from_raw(reader));
}

/// A new party; its number. `version` and `units_cap` are -1 where there is none; `counted` has a byte for each status
/// up to the last that is charged.
///
/// # Safety
/// The views hold during the call.
#[no_mangle]
pub unsafe extern "C" fn reader_add_party(
    reader: &mut Reader,
    packed: View,
    version: i64,
    units_cap: i64,
    counted: View,
) -> u32 {
    reader.parties.push(Party {
        packed: packed.bytes().to_vec(),
        version: u32::try_from(version).ok(),
        units_cap: (units_cap >= 0).then_some(units_cap),
        counted: counted.bytes().iter().map(|&byte| byte != 0).collect(),
    });
    (reader.parties.len() - 1) as u32
}

/// From now on `name` in an entry is that party; of a negative one nobody can say who it is.
///
/// # Safety
/// The view holds during the call.
#[no_mangle]
pub unsafe extern "C" fn reader_know(reader: &mut Reader, name: View, party: i64) {
    reader.known.insert(name.bytes().to_vec(), u32::try_from(party).ok());
}

/// A new endpoint; its number.
///
/// # Safety
/// The view holds during the call.
#[no_mangle]
pub unsafe extern "C" fn reader_add_endpoint(reader: &mut Reader, packed: View, weight: i64) -> u32 {
    reader.endpoints.push(Endpoint { packed: packed.bytes().to_vec(), weight });
    (reader.endpoints.len() - 1) as u32
}

/// A path template of a version: `method` in capitals, `path` as the document has it.
#[repr(C)]
pub struct TemplateView {
    method: View,
    path: View,
    endpoint: u32,
}

/// The version `number` is this one from now on; a number that is not there yet is the next one.
///
/// # Safety
/// The views hold during the call, `templates` points to `count` of them.
#[no_mangle]
pub unsafe extern "C" fn reader_put_version(
    reader: &mut Reader,
    number: usize,
    name: View,
    templates: *const TemplateView,
    count: usize,
) {
    let templates = if count == 0 { &[] } else { from_raw_parts(templates, count) };
    let version = Version::new(
        name.bytes(),
        templates.iter().map(|template| Template {
            method: template.method.bytes(),
            path: template.path.bytes(),
            endpoint: template.endpoint,
        }),
    );
    match reader.versions.get_mut(number) {
        Some(known) => *known = version,
        None => reader.versions.push(version),
    }
}

/// Read `records`; calls begun before `nets_from_ms` bear no network of their client. Should this code ever panic, all
/// records are for Python to read: nothing that stands in the log may end the consumer again and again.
///
/// `values` point to the records' bytes; of each `lengths` and `taken_ms` say how many they are, and when it was taken
/// in. A call counts that began up to `back_ms` before that and `ahead_ms` after it.
///
/// # Safety
/// `values` point to `count` pointers to as many bytes as `lengths` say, which stay as they are during the call;
/// `lengths` and `taken_ms` point to `count` numbers.
#[no_mangle]
pub unsafe extern "C" fn reader_read(
    reader: &Reader,
    values: *const *const u8,
    lengths: *const i64,
    taken_ms: *const i64,
    count: usize,
    back_ms: i64,
    ahead_ms: i64,
    nets_from_ms: i64,
) -> ReadingView {
    let records: Vec<Record> = (0..count)
        .map(|place| {
            let value = View { data: *values.add(place), length: *lengths.add(place) as usize }.bytes();
            let taken_ms = *taken_ms.add(place);
            Record { value, first_ms: taken_ms - back_ms, last_ms: taken_ms + ahead_ms }
        })
        .collect();
    let read = catch_unwind(AssertUnwindSafe(|| reader.read(&records, nets_from_ms)));
    let reading = Box::new(read.unwrap_or_else(|_| Reading::nothing_of(records.len())));
    ReadingView {
        unknown: View::of(&reading.unknown),
        odd: View::of(&reading.odd),
        rows: View::of(&reading.rows),
        deltas: View::of(&reading.deltas),
        days: View::of(&reading.days),
        calls: reading.calls,
        earliest_ms: reading.earliest_ms,
        latest_ms: reading.latest_ms,
        reading: Box::into_raw(reading),
    }
}

/// # Safety
/// `reading` comes from `reader_read` and is not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn reading_free(reading: *mut Reading) {
    drop(Box::from_raw(reading));
}
