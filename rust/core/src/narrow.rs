//! Token ids in few bytes, for where many wait.
//!
//! Sixteen together take two bytes each if all are below 2¹⁶, and four if not: vocabularies name frequent
//! tokens first. So less memory is written for the first time, and loaded again.

/// Ids that are stored in one width.
const GROUP: usize = 16;
/// The marks before a group.
const NARROW: u8 = 0;
const WIDE: u8 = 1;

/// What `count` ids take at most.
pub fn bytes_at_most(count: usize) -> usize {
    count * size_of::<u32>() + count / GROUP
}

/// Appends some ids.
pub fn put(ids: &[u32], bytes: &mut Vec<u8>) {
    let (groups, rest) = ids.as_chunks::<GROUP>();
    for group in groups {
        if group.iter().fold(0, |all, id| all | id) >> u16::BITS == 0 {
            bytes.push(NARROW);
            let narrow = group.map(|id| (id as u16).to_le_bytes());
            bytes.extend_from_slice(narrow.as_flattened());
        } else {
            bytes.push(WIDE);
            put_wide(group, bytes);
        }
    }
    put_wide(rest, bytes);
}

fn put_wide(ids: &[u32], bytes: &mut Vec<u8>) {
    bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
}

/// Takes `count` ids off the front of `bytes` and appends them to `ids`; `None` where there are fewer.
pub fn take(bytes: &mut &[u8], count: usize, ids: &mut Vec<u32>) -> Option<()> {
    // Of a count that cannot be true no memory is asked for.
    ids.reserve(count.min(bytes.len()));
    for _ in 0..count / GROUP {
        let (&mark, rest) = bytes.split_first()?;
        *bytes = rest;
        if mark == NARROW {
            let (group, rest) = bytes.split_first_chunk::<{ GROUP * size_of::<u16>() }>()?;
            let group = group.as_chunks().0.iter();
            ids.extend(group.map(|id| u32::from(u16::from_le_bytes(*id))));
            *bytes = rest;
        } else {
            take_wide(bytes, GROUP, ids)?;
        }
    }
    take_wide(bytes, count % GROUP, ids)
}

fn take_wide(bytes: &mut &[u8], count: usize, ids: &mut Vec<u32>) -> Option<()> {
    let (wide, rest) = bytes.split_at_checked(count * size_of::<u32>())?;
    ids.extend(wide.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id)));
    *bytes = rest;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_come_back(
            mixed in prop::collection::vec(
                prop_oneof![0..60_u32, 65_530..65_540_u32, any::<u32>()], 0..70,
            ),
            narrow in prop::collection::vec(0..65_536_u32, 0..70),
        ) {
            for ids in [mixed, narrow] {
                let mut bytes = Vec::new();
                put(&ids, &mut bytes);
                prop_assert!(bytes.len() <= bytes_at_most(ids.len()));
                let (mut rest, mut found) = (&*bytes, vec![7]);
                prop_assert_eq!(take(&mut rest, ids.len(), &mut found), Some(()));
                prop_assert!(found[1..] == ids && rest.is_empty());
                prop_assert_eq!(take(&mut rest, 1, &mut found), None);
            }
        }
    }

    #[test]
    fn frequent_ids_take_two_bytes() {
        let mut bytes = Vec::new();
        put(&[65_535; 160], &mut bytes);
        assert_eq!(bytes.len(), 10 * (1 + 2 * GROUP));
    }
}
