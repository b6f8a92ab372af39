//! MP4 for a reader that cannot turn back. Recorders write the index behind the sound, since they know it only then;
//! ffmpeg at the end of a pipe needs it in front.

/// A file whose index comes first, if this one's comes last; `None` when there is nothing to move.
pub(crate) fn index_first(file: &[u8]) -> Option<Vec<u8>> {
    let first = boxes(file).next()?;
    if first.kind != *b"ftyp" {
        return None;
    }
    let index = boxes(file).find(|found| found.kind == *b"moov")?;
    let sound = boxes(file).find(|found| found.kind == *b"mdat")?;
    if index.start < sound.start {
        return None;
    }
    let mut moved = file[index.start..index.end].to_vec();
    shift(&mut moved, index.end - index.start)?;
    let (before, rest) = file.split_at(sound.start);
    let (between, behind) = rest.split_at(index.start - sound.start);
    Some([before, &moved, between, &behind[index.end - index.start..]].concat())
}

struct Found {
    kind: [u8; 4],
    start: usize,
    body: usize,
    end: usize,
}

/// The boxes that follow one another, as far as they are whole.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = Found> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let [a, b, c, d, kind @ ..] = *bytes.get(start..)?.first_chunk::<8>()?;
        let (body, len) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (start + 8, bytes.len() - start),
            1 => {
                let long = bytes.get(start + 8..)?.first_chunk::<8>()?;
                (start + 16, usize::try_from(u64::from_be_bytes(*long)).ok()?)
            }
            short => (start + 8, usize::try_from(short).ok()?),
        };
        let end = start.checked_add(len).filter(|end| (body..=bytes.len()).contains(end))?;
        let found = Found { kind, start, body, end };
        start = end;
        Some(found)
    })
}

/// Moves every position within an index: what it points at comes later by its own length.
fn shift(index: &mut [u8], by: usize) -> Option<()> {
    let found: Vec<_> = boxes(index).collect();
    for found in found {
        let body = &mut index[found.body..found.end];
        match &found.kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" => shift(body, by)?,
            b"stco" => {
                for position in body.get_mut(8..)?.as_chunks_mut::<4>().0 {
                    let moved = u32::from_be_bytes(*position).checked_add(u32::try_from(by).ok()?)?;
                    *position = moved.to_be_bytes();
                }
            }
            b"co64" => {
                for position in body.get_mut(8..)?.as_chunks_mut::<8>().0 {
                    let moved = u64::from_be_bytes(*position).checked_add(by as u64)?;
                    *position = moved.to_be_bytes();
                }
            }
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
    }

    #[test]
    fn an_index_that_comes_last_is_moved_and_points_at_what_has_moved() {
        let tables = [
            boxed(b"stco", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 24]),
            boxed(b"co64", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 24]),
        ];
        let index = boxed(
            b"moov",
            &boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", &boxed(b"stbl", &tables.concat())))),
        );
        let (head, sound) = (boxed(b"ftyp", b"M4A \0\0\0\0"), boxed(b"mdat", b"sound"));
        let moved = index_first(&[&head[..], &sound, &index].concat()).unwrap();
        assert_eq!(moved.len(), head.len() + sound.len() + index.len());
        let kinds: Vec<_> = boxes(&moved).map(|found| found.kind).collect();
        assert_eq!(kinds, [*b"ftyp", *b"moov", *b"mdat"]);
        let sound_at = (24 + index.len()) as u8;
        let index_end = head.len() + index.len();
        // The last positions of the two tables, of which the second is 24 bytes long.
        assert_eq!((moved[index_end - 24 - 1], moved[index_end - 1]), (sound_at, sound_at));
        assert_eq!(index_first(&moved), None);
    }

    #[test]
    fn what_is_broken_or_something_else_is_left_alone() {
        let head = boxed(b"ftyp", b"");
        let wrong = boxed(b"moov", &boxed(b"trak", &[0, 0, 0, 1, b'm', b'd', b'i', b'a']));
        for file in [
            &b""[..],
            b"RIFF",
            &head,
            &[&head[..], &boxed(b"mdat", b""), &[0xFF; 40]].concat(),
            &[&head[..], &boxed(b"moov", b"")].concat(),
        ] {
            assert_eq!(index_first(file), None);
        }
        let table = boxed(b"stco", &[0; 3]);
        let short =
            boxed(b"moov", &boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", &boxed(b"stbl", &table)))));
        assert_eq!(index_first(&[&head[..], &boxed(b"mdat", b"x"), &short].concat()), None);
        assert!(index_first(&[&head[..], &boxed(b"mdat", b"x"), &wrong].concat()).is_some());
    }
}
