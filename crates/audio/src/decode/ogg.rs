//! Ogg: pages in, packets out, and pages again.

use crate::AudioError;

/// No position, since no packet ends on the page.
const NOWHERE: u64 = u64::MAX;
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// The first logical stream of a file. Streams beside it and behind it are left out.
#[derive(Debug)]
pub(super) struct Stream {
    /// Whole packets, in order.
    pub packets: Vec<Vec<u8>>,
    /// How many samples play up to the end of the last page that says so.
    pub position: u64,
    /// Whether the last page is there.
    pub is_whole: bool,
    /// The pages behind the first ones that hold three packets, as they were.
    pages: Vec<Page>,
    serial: [u8; 4],
}

#[derive(Clone, Debug)]
struct Page {
    flags: u8,
    position: u64,
    lacing: Vec<u8>,
    body: Vec<u8>,
}

/// Takes a file apart.
///
/// # Errors
/// When it is broken or cut off within its header.
pub(super) fn first_stream(mut bytes: &[u8]) -> Result<Stream, AudioError> {
    let mut found: Option<Stream> = None;
    let mut part: Option<Vec<u8>> = None;
    while let Some((page, serial, rest)) = next_page(bytes) {
        bytes = rest;
        let stream = found.get_or_insert_with(|| Stream {
            packets: Vec::new(),
            position: 0,
            is_whole: false,
            pages: Vec::new(),
            serial,
        });
        if serial != stream.serial {
            continue;
        }
        if page.flags & FIRST != 0 && !stream.packets.is_empty() {
            break;
        }
        let is_audio = stream.packets.len() >= 3;
        if page.flags & CONTINUED == 0 {
            part = None;
        }
        let mut at = 0;
        for lace in &page.lacing {
            let end = at + usize::from(*lace);
            part.get_or_insert_default().extend_from_slice(&page.body[at..end]);
            at = end;
            if *lace < 255 {
                stream.packets.extend(part.take());
            }
        }
        if page.position != NOWHERE {
            stream.position = page.position;
        }
        stream.is_whole = page.flags & LAST != 0;
        if is_audio {
            stream.pages.push(page);
        }
        if stream.is_whole {
            break;
        }
    }
    found.ok_or_else(|| AudioError::CutOff("it ends within its first page".into()))
}

/// The next page, whose stream it is, and what follows. What is not a page is passed over.
fn next_page(bytes: &[u8]) -> Option<(Page, [u8; 4], &[u8])> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.windows(4).position(|window| window == b"OggS")?;
        let header = bytes.get(at..)?.first_chunk::<27>()?;
        let lacing = bytes.get(at + 27..at + 27 + usize::from(header[26]))?;
        let body_at = at + 27 + lacing.len();
        let len: usize = lacing.iter().map(|lace| usize::from(*lace)).sum();
        let body = bytes.get(body_at..body_at + len)?;
        let [.., a, b, c, d] = *header.first_chunk::<18>()?;
        let mut position = [0; 8];
        position.copy_from_slice(&header[6..14]);
        let page = Page {
            flags: header[5],
            position: u64::from_le_bytes(position),
            lacing: lacing.to_vec(),
            body: body.to_vec(),
        };
        let said = &header[22..26];
        if header[4] == 0 && said == checksum(&bytes[at..body_at + len]) {
            return Some((page, [a, b, c, d], &bytes[body_at + len..]));
        }
        // A page that was damaged, or no page at all.
        at += 4;
    }
}

impl Stream {
    /// Puts the file together again behind other header packets.
    pub(super) fn with_headers(self, headers: [&[u8]; 3]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut sequence = 0_u32;
        let mut write = |page: &Page| {
            let start = file.len();
            file.extend_from_slice(b"OggS\0");
            file.push(page.flags);
            file.extend_from_slice(&page.position.to_le_bytes());
            file.extend_from_slice(&self.serial);
            file.extend_from_slice(&sequence.to_le_bytes());
            file.extend_from_slice(&[0; 4]);
            file.push(page.lacing.len() as u8);
            file.extend_from_slice(&page.lacing);
            file.extend_from_slice(&page.body);
            let sum = checksum(&file[start..]);
            file[start + 22..start + 26].copy_from_slice(&sum);
            sequence += 1;
        };
        let [identification, rest @ ..] = headers;
        for (flags, packets) in [(FIRST, &[identification][..]), (0, &rest[..])] {
            let mut lacing = Vec::new();
            for packet in packets {
                lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
                lacing.push((packet.len() % 255) as u8);
            }
            let body = packets.concat();
            let pages = lacing.chunks(255).count();
            let mut at = 0;
            for (n, lacing) in lacing.chunks(255).enumerate() {
                let end = at + lacing.iter().map(|lace| usize::from(*lace)).sum::<usize>();
                let position = if n + 1 == pages { 0 } else { NOWHERE };
                let flags = if n == 0 { flags } else { CONTINUED };
                write(&Page { flags, position, lacing: lacing.to_vec(), body: body[at..end].to_vec() });
                at = end;
            }
        }
        self.pages.iter().for_each(write);
        file
    }
}

/// Of a page, whose own four bytes of it count as zero.
fn checksum(page: &[u8]) -> [u8; 4] {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let mut sum = (n as u32) << 24;
            let mut bit = 0;
            while bit < 8 {
                sum = sum << 1 ^ if sum & 0x8000_0000 == 0 { 0 } else { 0x04C1_1DB7 };
                bit += 1;
            }
            table[n] = sum;
            n += 1;
        }
        table
    };
    let sum = page.iter().enumerate().fold(0_u32, |sum, (at, byte)| {
        let byte = if (22..26).contains(&at) { 0 } else { *byte };
        sum << 8 ^ TABLE[usize::from((sum >> 24) as u8 ^ byte)]
    });
    sum.to_le_bytes()
}
