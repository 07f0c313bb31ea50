//! Rows as PostgreSQL's binary COPY takes them, byte for byte what `metering.domain.pack` makes of the same calls.
//!
//! A field is its length in four bytes and its bytes; a length of -1 is NULL. Every number is big-endian.

use crate::json::Entry;
use crate::{Charge, Endpoint, Party};

const NULL: [u8; 4] = (-1i32).to_be_bytes();
const CALL_COLUMNS: i16 = 25;
const DELTA_COLUMNS: i16 = 27;
const YEAR_2000_US: i64 = 946_684_800_000_000;
pub const HOUR_MS: i64 = 3_600_000;
const BASE: u64 = 10_000;

/// How many calls a latency bucket holds, by bucket.
pub type Histogram = Vec<(u16, u64)>;

fn bigint(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&8i32.to_be_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}

fn integer(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&4i32.to_be_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}

fn smallint(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&2i32.to_be_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}

fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(&1i32.to_be_bytes());
    out.push(u8::from(value));
}

fn text(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&(value.len() as i32).to_be_bytes());
    out.extend_from_slice(value);
}

fn text_or_null(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => text(out, value),
        None => out.extend_from_slice(&NULL),
    }
}

fn moment(out: &mut Vec<u8>, milliseconds: i64) {
    bigint(out, milliseconds * 1_000 - YEAR_2000_US);
}

fn endpoint_or_null(out: &mut Vec<u8>, endpoint: Option<&Endpoint>) {
    out.extend_from_slice(endpoint.map_or(&NULL, |found| &found.packed));
}

/// A row of the request log.
pub fn call(out: &mut Vec<u8>, entry: &Entry, party: &Party, endpoint: Option<&Endpoint>, charge: &Charge) {
    out.extend_from_slice(&CALL_COLUMNS.to_be_bytes());
    moment(out, entry.started_at);
    text(out, entry.id);
    out.extend_from_slice(&party.packed);
    endpoint_or_null(out, endpoint);
    text(out, entry.method);
    smallint(out, entry.status);
    match entry.upstream_status {
        Some(status) => smallint(out, status),
        None => out.extend_from_slice(&NULL),
    }
    text(out, entry.source);
    boolean(out, charge.billable);
    text_or_null(out, entry.country);
    text_or_null(out, entry.client_net);
    bigint(out, charge.units);
    integer(out, entry.latency);
    integer(out, entry.gateway_latency);
    bigint(out, entry.size);
    bigint(out, entry.answer_size);
    match entry.upstream_latency {
        Some(latency) => integer(out, latency),
        None => out.extend_from_slice(&NULL),
    }
    text(out, entry.path);
}

/// What calls have in common that are added up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind<'a> {
    /// Since 1970.
    pub hour: i64,
    pub party: u32,
    pub endpoint: Option<u32>,
    pub country: Option<&'a [u8]>,
    /// Status and source of an answer of 400 or above.
    pub error: Option<(i16, &'a [u8])>,
}

/// What calls of one kind add up to.
pub struct Delta<'a> {
    pub kind: Kind<'a>,
    pub calls: i64,
    pub billable_calls: i64,
    pub units: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
    pub latency_ms: i64,
    pub latencies: Histogram,
    pub last_ms: i64,
    pub example: &'a [u8],
}

pub fn delta(out: &mut Vec<u8>, delta: &Delta, party: &Party, endpoint: Option<&Endpoint>) {
    let Kind { hour, country, error, .. } = delta.kind;
    out.extend_from_slice(&DELTA_COLUMNS.to_be_bytes());
    moment(out, hour * HOUR_MS);
    out.extend_from_slice(&party.packed);
    endpoint_or_null(out, endpoint);
    text_or_null(out, country);
    match error {
        Some((status, source)) => {
            smallint(out, status);
            text(out, source);
        }
        None => (0..2).for_each(|_| out.extend_from_slice(&NULL)),
    }
    moment(out, delta.last_ms);
    text_or_null(out, error.map(|_| delta.example));
    for number in [delta.units, delta.bytes_in, delta.bytes_out, delta.latency_ms] {
        bigint(out, number);
    }
    integer(out, delta.calls as i32);
    integer(out, delta.billable_calls as i32);
    let class = error.map(|(status, source)| class_of(status, source));
    for one in 0..5 {
        integer(out, if class == Some(one) { delta.calls as i32 } else { 0 });
    }
    histogram(out, &delta.latencies);
}

/// Which of the totals counts an answer of 400 or above: `metering.domain.rollup.class_of`.
fn class_of(status: i16, source: &[u8]) -> usize {
    match status {
        500.. => 1,
        _ if source == b"upstream" => 0,
        401 => 4,
        403 => 3,
        429 => 2,
        _ => 0,
    }
}

/// A numeric whose digits of base 10^12 are the counts: three of PostgreSQL's own digits, of base 10^4, a bucket.
fn histogram(out: &mut Vec<u8>, buckets: &Histogram) {
    let low = buckets.iter().map(|&(bucket, _)| bucket).min().unwrap_or(0);
    let high = buckets.iter().map(|&(bucket, _)| bucket).max().unwrap_or(0);
    let (digits, weight) = match buckets.as_slice() {
        &[(bucket, calls)] if calls < BASE => (vec![calls as u16], 3 * bucket),
        _ => {
            let mut digits = vec![0u16; 3 * usize::from(high - low + 1)];
            for &(bucket, calls) in buckets {
                let end = 3 * usize::from(high - bucket + 1);
                for (back, digit) in
                    [calls % BASE, calls / BASE % BASE, calls / BASE / BASE].into_iter().enumerate()
                {
                    digits[end - 1 - back] = digit as u16;
                }
            }
            (digits, 3 * (high + 1) - 1)
        }
    };
    out.extend_from_slice(&(8 + 2 * digits.len() as i32).to_be_bytes());
    // How many digits, the weight of the first one, a positive sign, no decimals.
    for number in [digits.len() as u16, weight, 0, 0].into_iter().chain(digits) {
        out.extend_from_slice(&number.to_be_bytes());
    }
}
