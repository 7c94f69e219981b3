//! Which files become one, and which memories are dropped for room. Pure.

/// Most memories of a file.
pub(super) const FILE_MEMORIES_MAX: usize = 4096;
/// Most bytes of a file that is made of several.
pub(super) const FILE_BYTES_MAX: u64 = 8 << 20;
/// So many small files of a person become one.
const SMALL_FILES_MAX: usize = 8;

/// A file, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) number: u32,
    pub(super) memories: usize,
    pub(super) bytes: u64,
}

/// The small files that become one, oldest first; none while there are few of them.
pub(super) fn merged(files: &[Size]) -> Vec<u32> {
    let is_small = |file: &&Size| file.memories <= FILE_MEMORIES_MAX / 2 && file.bytes <= FILE_BYTES_MAX / 2;
    let small: Vec<&Size> = files.iter().filter(is_small).collect();
    if small.len() < SMALL_FILES_MAX {
        return Vec::new();
    }
    let (mut memories, mut bytes, mut chosen) = (0, 0, Vec::new());
    for file in small {
        (memories, bytes) = (memories + file.memories, bytes + file.bytes);
        if memories > FILE_MEMORIES_MAX || bytes > FILE_BYTES_MAX {
            break;
        }
        chosen.push(file.number);
    }
    chosen
}

/// A memory that may be dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Droppable {
    /// 0 to 1.
    pub(super) importance: f32,
    /// Event time in microseconds.
    pub(super) time: i64,
    /// What it takes on disk, about.
    pub(super) bytes: u64,
}

/// The places of those that go so that `bytes` become free: the least important first, of equal ones the oldest.
pub(super) fn dropped(memories: &[Droppable], bytes: u64) -> Vec<usize> {
    let mut order: Vec<(usize, &Droppable)> = memories.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.importance.total_cmp(&b.importance).then(a.time.cmp(&b.time)));
    let mut freed = 0;
    let enough = |(_, one): &(usize, &Droppable)| {
        let goes = freed < bytes;
        freed += one.bytes;
        goes
    };
    order.into_iter().take_while(enough).map(|(at, _)| at).collect()
}

/// The most bytes that a person may have so that all together have at most `total`: nobody with less gives anything.
/// `None` when there is room for all.
pub(super) fn fair_share(sizes: &[u64], total: u64) -> Option<u64> {
    if sizes.iter().sum::<u64>() <= total {
        return None;
    }
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    let mut left = total;
    let mut people = sorted.len() as u64;
    for size in sorted {
        let share = left.checked_div(people)?;
        if size > share {
            return Some(share);
        }
        (left, people) = (left - size, people - 1);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(number: u32, memories: usize) -> Size {
        Size { number, memories, bytes: memories as u64 * 600 }
    }

    #[test]
    fn many_small_files_become_one() {
        let few: Vec<Size> = (1..8).map(|number| file(number, 90)).collect();
        assert_eq!(merged(&few), Vec::<u32>::new());
        let many: Vec<Size> = (1..9).map(|number| file(number, 90)).collect();
        assert_eq!(merged(&many), (1..9).collect::<Vec<_>>());
        // A full file is left alone.
        let full: Vec<Size> = [file(0, 4000)].into_iter().chain(many).collect();
        assert_eq!(merged(&full), (1..9).collect::<Vec<_>>());
        // What would be too large together is done in part.
        let halves: Vec<Size> = (1..10).map(|number| file(number, 2000)).collect();
        assert_eq!(merged(&halves), [1, 2]);
    }

    #[test]
    fn the_least_important_and_oldest_go_first() {
        let one = |importance, time| Droppable { importance, time, bytes: 10 };
        let all = [one(0.5, 1), one(0.1, 9), one(0.5, 0), one(0.9, 0)];
        assert_eq!(dropped(&all, 0), Vec::<usize>::new());
        assert_eq!(dropped(&all, 1), [1]);
        assert_eq!(dropped(&all, 25), [1, 2, 0]);
        assert_eq!(dropped(&all, 1000), [1, 2, 0, 3]);
    }

    proptest! {
        #[test]
        fn a_fair_share_makes_room_and_is_the_largest(
            sizes in prop::collection::vec(0_u64..1000, 0..30), total in 0_u64..10_000,
        ) {
            let taken = |share: u64| sizes.iter().map(|size| (*size).min(share)).sum::<u64>();
            match fair_share(&sizes, total) {
                None => prop_assert!(sizes.iter().sum::<u64>() <= total),
                Some(share) => {
                    prop_assert!(taken(share) <= total);
                    prop_assert!(taken(share + 1) > total);
                }
            }
        }
    }
}
