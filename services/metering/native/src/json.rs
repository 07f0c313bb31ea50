//! A record of the request log: an array of entries as ingest writes them.
//!
//! Only what ingest itself writes is read: known fields, each once, whole numbers within their bounds, texts without
//! an escape. Of anything else the answer is None, and Python, whose reading is the rule, reads that record.

/// `metering.domain.entry`: the bounds of the stored fields.
const MAX_COUNT: i64 = 1_000_000_000_000;
const MAX_LATENCY_MS: i64 = 86_400_000;
const MAX_STATUS: i64 = 999;

/// One call; times are milliseconds, sizes bytes.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub started_at: i64,
    pub id: &'a [u8],
    pub method: &'a [u8],
    pub path: &'a [u8],
    pub size: i64,
    pub status: i16,
    pub answer_size: i64,
    pub source: &'a [u8],
    pub upstream_status: Option<i16>,
    pub latency: i32,
    pub upstream_latency: Option<i32>,
    pub gateway_latency: i32,
    /// Service, route, consumer and credential, as they are written.
    pub parties: [&'a [u8]; 4],
    pub units: Option<i64>,
    pub client_net: Option<&'a [u8]>,
    pub country: Option<&'a [u8]>,
}

/// Calls `each` for every entry of `value`; None as soon as something is not as ingest writes it.
pub fn entries<'a>(value: &'a [u8], mut each: impl FnMut(Entry<'a>) -> Option<()>) -> Option<()> {
    let mut cursor = Cursor { bytes: value, at: 0 };
    cursor.take(b'[')?;
    if cursor.next_is(b']') {
        cursor.at += 1;
    } else {
        loop {
            each(cursor.entry()?)?;
            if !cursor.more(b']')? {
                break;
            }
        }
    }
    cursor.skip_space();
    (cursor.at == value.len()).then_some(())
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// True the first time that a field of an object is met: a field that comes twice is not ours.
fn first(seen: &mut u32, field: u32) -> Option<()> {
    let bit = 1 << field;
    let new = *seen & bit == 0;
    *seen |= bit;
    new.then_some(())
}

fn within(value: i64, least: i64, most: i64) -> Option<i64> {
    (least..=most).contains(&value).then_some(value)
}

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_space();
        self.bytes.get(self.at) == Some(&byte)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.next_is(byte).then(|| self.at += 1)
    }

    /// After a value: true when a comma follows, false when the array or object ends.
    fn more(&mut self, end: u8) -> Option<bool> {
        self.skip_space();
        let found = *self.bytes.get(self.at)?;
        self.at += 1;
        match found {
            b',' => Some(true),
            _ if found == end => Some(false),
            _ => None,
        }
    }

    /// The bytes of a string in which nothing is escaped; whether it is UTF-8 is not looked at.
    fn bare_string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)?;
        self.at += length + 1;
        (rest[length] == b'"').then_some(&rest[..length])
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let found = self.bare_string()?;
        (found.is_ascii() || std::str::from_utf8(found).is_ok()).then_some(found)
    }

    fn null(&mut self) -> bool {
        self.skip_space();
        let found = self.bytes[self.at..].starts_with(b"null");
        if found {
            self.at += 4;
        }
        found
    }

    fn text_or_null(&mut self) -> Option<Option<&'a [u8]>> {
        if self.null() {
            return Some(None);
        }
        self.text().map(Some)
    }

    fn whole(&mut self) -> Option<i64> {
        self.skip_space();
        let begin = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let digits = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        let length = self.at - digits;
        let leading_zero = length > 1 && self.bytes[digits] == b'0';
        let goes_on = matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        if length == 0 || length > 18 || leading_zero || goes_on {
            return None;
        }
        let value =
            self.bytes[digits..self.at].iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Some(if digits > begin { -value } else { value })
    }

    /// An object or null, as it is written. What is in it is for Python to judge, once for each that is new.
    fn raw(&mut self) -> Option<&'a [u8]> {
        if self.null() {
            return Some(b"null");
        }
        if !self.next_is(b'{') {
            return None;
        }
        let begin = self.at;
        let mut depth = 0;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => {
                    self.bare_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Some(&self.bytes[begin..self.at]);
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// An object: `field` reads the value of each name, and is told which were read before.
    fn object(&mut self, mut field: impl FnMut(&mut Self, &[u8], &mut u32) -> Option<()>) -> Option<u32> {
        let mut seen = 0;
        self.take(b'{')?;
        if self.next_is(b'}') {
            self.at += 1;
            return Some(seen);
        }
        loop {
            let name = self.bare_string()?;
            self.take(b':')?;
            field(self, name, &mut seen)?;
            if !self.more(b'}')? {
                return Some(seen);
            }
            self.skip_space();
        }
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let mut entry = Entry {
            started_at: 0,
            id: b"",
            method: b"",
            path: b"",
            size: 0,
            status: 0,
            answer_size: 0,
            source: b"",
            upstream_status: None,
            latency: 0,
            upstream_latency: None,
            gateway_latency: 0,
            parties: [b"null"; 4],
            units: None,
            client_net: None,
            country: None,
        };
        let seen = self.object(|cursor, name, seen| match name {
            b"started_at" => {
                first(seen, 0).and_then(|()| cursor.whole()).map(|value| entry.started_at = value)
            }
            b"request" => first(seen, 1).and_then(|()| cursor.request(&mut entry)),
            b"response" => first(seen, 2).and_then(|()| cursor.response(&mut entry)),
            b"source" => first(seen, 3).and_then(|()| cursor.text()).map(|value| entry.source = value),
            b"upstream_status" => first(seen, 4).and_then(|()| cursor.whole()).map(|value| {
                entry.upstream_status = within(value, 100, MAX_STATUS).map(|status| status as i16);
            }),
            b"latencies" => first(seen, 5).and_then(|()| cursor.latencies(&mut entry)),
            b"service" => first(seen, 6).and_then(|()| cursor.raw()).map(|value| entry.parties[0] = value),
            b"route" => first(seen, 7).and_then(|()| cursor.raw()).map(|value| entry.parties[1] = value),
            b"consumer" => first(seen, 8).and_then(|()| cursor.raw()).map(|value| entry.parties[2] = value),
            b"authenticated_entity" => {
                first(seen, 9).and_then(|()| cursor.raw()).map(|value| entry.parties[3] = value)
            }
            b"usage_units" => {
                first(seen, 10)?;
                if !cursor.null() {
                    entry.units = Some(within(cursor.whole()?, 0, MAX_COUNT)?);
                }
                Some(())
            }
            b"client_net" => {
                first(seen, 11).and_then(|()| cursor.text_or_null()).map(|value| entry.client_net = value)
            }
            b"country" => {
                first(seen, 12).and_then(|()| cursor.text_or_null()).map(|value| entry.country = value)
            }
            _ => None,
        })?;
        (seen & 0b111 == 0b111).then_some(entry) // started_at, request and response must be there
    }

    /// The value of a field that was not met before: a whole number within its bounds.
    fn bounded(&mut self, seen: &mut u32, field: u32, least: i64, most: i64) -> Option<i64> {
        first(seen, field)?;
        self.whole().filter(|value| (least..=most).contains(value))
    }

    fn request(&mut self, entry: &mut Entry<'a>) -> Option<()> {
        let seen = self.object(|cursor, name, seen| match name {
            b"id" => first(seen, 0).and_then(|()| cursor.text()).map(|value| entry.id = value),
            b"method" => first(seen, 1).and_then(|()| cursor.text()).map(|value| entry.method = value),
            b"path" => first(seen, 2).and_then(|()| cursor.text()).map(|value| entry.path = value),
            b"size" => cursor.bounded(seen, 3, 0, MAX_COUNT).map(|value| entry.size = value),
            _ => None,
        })?;
        (seen & 1 == 1).then_some(())
    }

    fn response(&mut self, entry: &mut Entry<'a>) -> Option<()> {
        let seen = self.object(|cursor, name, seen| match name {
            b"status" => cursor.bounded(seen, 0, 0, MAX_STATUS).map(|value| entry.status = value as i16),
            b"size" => cursor.bounded(seen, 1, 0, MAX_COUNT).map(|value| entry.answer_size = value),
            _ => None,
        })?;
        (seen & 1 == 1).then_some(())
    }

    fn latencies(&mut self, entry: &mut Entry<'a>) -> Option<()> {
        self.object(|cursor, name, seen| {
            let field = match name {
                b"request" => 0,
                b"proxy" => 1,
                b"kong" => 2,
                _ => return None,
            };
            let value = cursor.bounded(seen, field, -1, MAX_LATENCY_MS - 1)? as i32;
            match field {
                0 => entry.latency = value.max(0),
                1 => entry.upstream_latency = (value >= 0).then_some(value),
                _ => entry.gateway_latency = value.max(0),
            }
            Some(())
        })
        .map(|_| ())
    }
}
