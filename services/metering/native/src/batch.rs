//! Records of the request log → rows, deltas and days; what `metering.domain` makes of the same records.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::json::{entries, Entry};
use crate::matcher::Version;
use crate::pack::{self, Delta, Kind, HOUR_MS};

/// Hashes bytes that no caller chooses: tags and ids that the platform wrote.
#[derive(Default)]
pub struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        self.mix(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// Who a call is of, as Python read it from the entry's tags.
pub struct Party {
    /// Their columns of a row.
    pub packed: Vec<u8>,
    pub version: Option<u32>,
    pub units_cap: Option<i64>,
    /// By status of the upstream: is it charged. Empty where nobody pays.
    pub counted: Vec<bool>,
}

/// An endpoint: its column of a row, and how many units a call counts.
pub struct Endpoint {
    pub packed: Vec<u8>,
    pub weight: i64,
}

/// What a call costs its caller.
pub struct Charge {
    pub billable: bool,
    pub units: i64,
}

/// A record, and the window in which its calls count; milliseconds, both ends included.
pub struct Record<'a> {
    pub value: &'a [u8],
    pub first_ms: i64,
    pub last_ms: i64,
}

/// What is known of parties and versions, and the bounds of the latency buckets.
#[derive(Default)]
pub struct Reader {
    pub upper_ms: Vec<i64>,
    pub parties: Vec<Party>,
    /// By the bytes that name them in an entry. None: Python cannot read them either.
    pub known: Map<Vec<u8>, Option<u32>>,
    pub endpoints: Vec<Endpoint>,
    pub versions: Vec<Version>,
}

/// What a reading comes to. As long as something is `unknown` there is nothing else in it.
#[derive(Default)]
pub struct Reading {
    pub unknown: Vec<u8>,
    /// Records that are for Python to read, by their place.
    pub odd: Vec<i64>,
    pub rows: Vec<u8>,
    pub deltas: Vec<u8>,
    /// Three numbers for each party and UTC day: the party's, the day since 1970, and the units of its calls.
    pub days: Vec<i64>,
    pub calls: i64,
    pub earliest_ms: i64,
    pub latest_ms: i64,
}

impl Reading {
    /// None of `records` records was read.
    pub fn nothing_of(records: usize) -> Reading {
        Reading { odd: (0..records as i64).collect(), ..Reading::default() }
    }
}

struct Call<'a> {
    entry: Entry<'a>,
    party: u32,
}

impl Reader {
    pub fn read(&self, records: &[Record], nets_from_ms: i64) -> Reading {
        let mut calls: Vec<Call> = Vec::new();
        let mut reading = Reading { earliest_ms: i64::MAX, latest_ms: i64::MIN, ..Reading::default() };
        let mut unknown: Map<Vec<u8>, ()> = Map::default();
        let mut parties = Vec::new();
        for (place, record) in records.iter().enumerate() {
            let before = calls.len();
            let plain = entries(record.value, |mut entry| {
                if entry.started_at < record.first_ms || entry.started_at > record.last_ms {
                    return None;
                }
                if entry.started_at < nets_from_ms {
                    entry.client_net = None;
                }
                write_parties(&mut parties, &entry);
                let party = match self.known.get(parties.as_slice()) {
                    Some(known) => (*known)?,
                    None => {
                        unknown.insert(parties.clone(), ());
                        0
                    }
                };
                calls.push(Call { entry, party });
                Some(())
            });
            if plain.is_none() {
                calls.truncate(before);
                reading.odd.push(place as i64);
            }
        }
        if !unknown.is_empty() {
            let mut reading = Reading::default();
            for name in unknown.into_keys() {
                reading.unknown.extend_from_slice(&(name.len() as u32).to_le_bytes());
                reading.unknown.extend_from_slice(&name);
            }
            return reading;
        }
        self.pack(&calls, &mut reading);
        reading
    }

    fn pack(&self, calls: &[Call], reading: &mut Reading) {
        let mut places: Map<Kind, usize> = Map::default();
        let mut deltas: Vec<Delta> = Vec::new();
        reading.rows.reserve(calls.len() * 400);
        for Call { entry, party: number } in calls {
            let party = &self.parties[*number as usize];
            let version = party.version.map(|version| &self.versions[version as usize]);
            let place = version.and_then(|version| version.endpoint(entry.method, entry.path));
            let endpoint = place.map(|place| &self.endpoints[place as usize]);
            let charge = charge(entry, party, endpoint);
            pack::call(&mut reading.rows, entry, party, endpoint, &charge);
            reading.earliest_ms = reading.earliest_ms.min(entry.started_at);
            reading.latest_ms = reading.latest_ms.max(entry.started_at);

            let kind = Kind {
                hour: entry.started_at.div_euclid(HOUR_MS),
                party: *number,
                endpoint: place,
                country: entry.country,
                error: (entry.status >= 400).then_some((entry.status, entry.source)),
            };
            let at = *places.entry(kind).or_insert_with(|| {
                deltas.push(Delta::of(kind));
                deltas.len() - 1
            });
            deltas[at].add(entry, &charge, self.bucket_of(entry.latency.into()));
        }
        reading.calls = calls.len() as i64;
        let mut days: Map<(u32, i64), usize> = Map::default();
        for delta in &deltas {
            let Kind { hour, party, endpoint, .. } = delta.kind;
            let endpoint = endpoint.map(|place| &self.endpoints[place as usize]);
            pack::delta(&mut reading.deltas, delta, &self.parties[party as usize], endpoint);
            let day = hour.div_euclid(24);
            let at = *days.entry((party, day)).or_insert_with(|| {
                reading.days.extend([i64::from(party), day, 0]);
                reading.days.len() - 1
            });
            reading.days[at] += delta.units;
        }
    }

    fn bucket_of(&self, latency_ms: i64) -> u16 {
        self.upper_ms.partition_point(|&upper| upper < latency_ms).min(self.upper_ms.len() - 1) as u16
    }
}

/// The bytes by which the entry's parties are known: `StoredEntry.parties`.
fn write_parties(out: &mut Vec<u8>, entry: &Entry) {
    out.clear();
    for (name, value) in
        [&b"{\"service\":"[..], b",\"route\":", b",\"consumer\":", b",\"authenticated_entity\":"]
            .iter()
            .zip(entry.parties)
    {
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
    out.push(b'}');
}

fn charge(entry: &Entry, party: &Party, endpoint: Option<&Endpoint>) -> Charge {
    let status = entry.upstream_status.unwrap_or(0) as usize;
    let billable = entry.source == b"upstream" && party.counted.get(status).copied().unwrap_or(false);
    let units = match (billable, entry.units) {
        (false, _) => 0,
        (true, Some(reported)) => party.units_cap.map_or(reported, |cap| reported.min(cap)),
        (true, None) => endpoint.map_or(1, |found| found.weight),
    };
    Charge { billable, units }
}

impl<'a> Delta<'a> {
    fn of(kind: Kind<'a>) -> Delta<'a> {
        Delta {
            kind,
            calls: 0,
            billable_calls: 0,
            units: 0,
            bytes_in: 0,
            bytes_out: 0,
            latency_ms: 0,
            latencies: Vec::new(),
            last_ms: -1,
            example: b"",
        }
    }

    fn add(&mut self, entry: &Entry<'a>, charge: &Charge, bucket: u16) {
        self.calls += 1;
        self.billable_calls += i64::from(charge.billable);
        self.units += charge.units;
        self.bytes_in += entry.size;
        self.bytes_out += entry.answer_size;
        self.latency_ms += i64::from(entry.latency);
        match self.latencies.iter_mut().find(|(known, _)| *known == bucket) {
            Some((_, calls)) => *calls += 1,
            None => self.latencies.push((bucket, 1)),
        }
        if entry.started_at > self.last_ms {
            self.last_ms = entry.started_at;
            self.example = entry.id;
        }
    }
}
