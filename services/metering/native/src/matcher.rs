//! Which endpoint a call was for: what `metering.domain.matcher` does, for the same path templates.

use std::borrow::Cow;
use std::collections::HashMap;

/// An API version: its name, and its path templates as a tree of segments.
pub struct Version {
    name: Vec<u8>,
    root: Node,
}

/// What Kong calls an endpoint by.
pub struct Template<'a> {
    pub method: &'a [u8],
    pub path: &'a [u8],
    /// By which the caller knows it again.
    pub endpoint: u32,
}

#[derive(Default)]
struct Node {
    literals: HashMap<Vec<u8>, Node>,
    patterns: Vec<(Vec<u8>, Pattern, Node)>,
    parameter: Option<Box<Node>>,
    methods: Vec<(Vec<u8>, u32)>,
}

/// A segment with parameters in it, such as `{name}.json`: the literals around them, and something in each gap.
struct Pattern(Vec<Vec<u8>>);

impl Version {
    pub fn new<'a>(name: &[u8], templates: impl Iterator<Item = Template<'a>>) -> Version {
        let mut root = Node::default();
        for template in templates {
            let mut node = &mut root;
            for segment in template.path.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty()) {
                node = node.child(segment);
            }
            if node.method(template.method).is_none() {
                node.methods.push((template.method.to_vec(), template.endpoint));
            }
        }
        Version { name: name.to_vec(), root }
    }

    /// The endpoint of `path` as the proxy saw it: `/provider/api/version/…`, or without version for the latest.
    pub fn endpoint(&self, method: &[u8], path: &[u8]) -> Option<u32> {
        let relative = self.relative(path);
        let resolved = resolve(&relative);
        let segments: Vec<&[u8]> = match &resolved {
            Some(segments) => segments.iter().map(|segment| segment.as_ref()).collect(),
            None => {
                let plain = trim_slashes(&relative);
                if plain.is_empty() {
                    Vec::new()
                } else {
                    plain.split(|&byte| byte == b'/').collect()
                }
            }
        };
        self.root.find(&segments, method)
    }

    fn relative<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        let slashes: Vec<usize> =
            path.iter().enumerate().filter(|(_, &byte)| byte == b'/').map(|(at, _)| at).take(4).collect();
        let Some(&third) = slashes.get(2) else {
            return Cow::Borrowed(b"/"); // what stands before the third slash names provider and API
        };
        let part = &path[third + 1..slashes.get(3).copied().unwrap_or(path.len())];
        if part != self.name {
            return Cow::Borrowed(&path[third..]);
        }
        slashes.get(3).map_or(Cow::Borrowed(b"/"), |&fourth| Cow::Borrowed(&path[fourth..]))
    }
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let begin = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(begin, |last| last + 1);
    &path[begin..end]
}

/// The segments as the upstream will read them (decoded, without empty ones, dots resolved); None for a path that is
/// that already.
fn resolve(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    let pairs = |first, second| path.windows(2).any(|pair| pair == [first, second]);
    let escaped = path.contains(&b'%');
    if path.first() == Some(&b'/') && !escaped && !pairs(b'/', b'/') && !pairs(b'/', b'.') {
        return None;
    }
    let decoded = if escaped { Cow::Owned(unquote(path)) } else { Cow::Borrowed(path) };
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in decoded.split(|&byte| byte == b'/') {
        match segment {
            b".." => {
                segments.pop();
            }
            b"" | b"." => {}
            _ => segments.push(segment.to_vec()),
        }
    }
    Some(segments)
}

/// `urllib.parse.unquote`: each run of ASCII by itself, what is no UTF-8 replaced.
fn unquote(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while !rest.is_empty() {
        let ascii = rest.iter().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        out.extend_from_slice(String::from_utf8_lossy(&unescape(&rest[..ascii])).as_bytes());
        let other = rest[ascii..].iter().position(u8::is_ascii).map_or(rest.len(), |length| ascii + length);
        out.extend_from_slice(&rest[ascii..other]);
        rest = &rest[other..];
    }
    out
}

fn unescape(run: &[u8]) -> Vec<u8> {
    let digit = |at: usize| run.get(at).and_then(|&byte| (byte as char).to_digit(16));
    let mut out = Vec::with_capacity(run.len());
    let mut at = 0;
    while at < run.len() {
        match (run[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

impl Node {
    fn child(&mut self, segment: &[u8]) -> &mut Node {
        let pieces = pieces(segment);
        if pieces.len() == 1 {
            return self.literals.entry(segment.to_vec()).or_default();
        }
        if pieces.iter().all(Vec::is_empty) && pieces.len() == 2 {
            return self.parameter.get_or_insert_with(Box::default);
        }
        let known = self.patterns.iter().position(|(written, ..)| written == segment).unwrap_or_else(|| {
            self.patterns.push((segment.to_vec(), Pattern(pieces), Node::default()));
            self.patterns.len() - 1
        });
        &mut self.patterns[known].2
    }

    fn method(&self, method: &[u8]) -> Option<u32> {
        self.methods.iter().find(|(name, _)| name == method).map(|&(_, endpoint)| endpoint)
    }

    /// Literal segments win over patterns, and these over parameters.
    fn find(&self, segments: &[&[u8]], method: &[u8]) -> Option<u32> {
        let Some((segment, rest)) = segments.split_first() else {
            // A HEAD that the document does not name is answered by its GET.
            return self
                .method(method)
                .or_else(|| if method == b"HEAD" { self.method(b"GET") } else { None });
        };
        if let Some(found) = self.literals.get(*segment).and_then(|node| node.find(rest, method)) {
            return Some(found);
        }
        let mut fitting = self.patterns.iter().filter(|(_, pattern, _)| pattern.fits(segment));
        if let Some(found) = fitting.find_map(|(_, _, node)| node.find(rest, method)) {
            return Some(found);
        }
        self.parameter.as_ref().and_then(|node| node.find(rest, method))
    }
}

/// What stands between the `{parameters}` of a segment: one piece when there is none.
fn pieces(segment: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while at < segment.len() {
        if segment[at] == b'{' {
            let braces = segment[at + 1..].iter().position(|byte| matches!(byte, b'{' | b'}'));
            if let Some(close) = braces.map(|length| at + 1 + length).filter(|&close| segment[close] == b'}')
            {
                pieces.push(segment[begin..at].to_vec());
                begin = close + 1;
                at = begin;
                continue;
            }
        }
        at += 1;
    }
    pieces.push(segment[begin..].to_vec());
    pieces
}

impl Pattern {
    /// The literals in their order, the first at the start, the last at the end, something between any two. A line
    /// feed, which `.` of Python does not match, is nothing.
    fn fits(&self, segment: &[u8]) -> bool {
        let ([first, middle @ .., last], Ok(text)) = (self.0.as_slice(), std::str::from_utf8(segment)) else {
            return false;
        };
        if !segment.starts_with(first) {
            return false;
        }
        let mut at = first.len();
        for piece in middle {
            let mut places = (at + 1..=segment.len()).filter(|&begin| text.is_char_boundary(begin));
            match places.find(|&begin| segment[begin..].starts_with(piece)) {
                Some(begin) => at = begin + piece.len(),
                None => return false,
            }
        }
        segment.len() >= at + 1 + last.len() && segment.ends_with(last) && !segment.contains(&b'\n')
    }
}
