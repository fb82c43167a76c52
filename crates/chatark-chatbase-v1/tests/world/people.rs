//! The lists of contacts and leads: gaps, ends and saved pages.

use chatark_core::{GapBounds, OpenGap, ReadRequest, Stream};

use crate::vendor::{End, Fault, Sizes, Vendor, World, due, ids, saved, world};

const LISTS: [(Stream, u32); 2] = [(Stream::Contacts, 1_000), (Stream::Leads, 100)];

fn of(stream: Stream) -> ReadRequest {
    ReadRequest { stream, ..ReadRequest::default() }
}

#[tokio::test]
async fn a_dead_row_of_a_list_is_a_gap_and_everything_around_it_is_read() {
    for (stream, size) in LISTS {
        for fault in [Fault::Status(500), Fault::Cut, Fault::NotJson] {
            for dead in [1, size + 7, 2 * size + 30] {
                let world = World { dead: ids([dead]), fault, ..world(2 * size + 30) };
                let pulled = Vendor::new(world).pull(of(stream)).await.ended();
                let expected = ids((1..=2 * size + 30).filter(|id| *id != dead));
                assert_eq!(pulled.distinct(), expected, "{stream:?} {fault:?} {dead}");
                assert_eq!(pulled.spans(), [(u64::from(dead), u64::from(dead))], "{stream:?} {dead}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_a_list_is_the_gap_where_the_host_takes_no_other_size() {
    for (stream, size) in LISTS {
        let world = World { sizes: Sizes::Refused, dead: ids([size + 7]), ..world(2 * size + 30) };
        let pulled = Vendor::new(world).pull(of(stream)).await.ended();
        assert_eq!(pulled.spans(), [(u64::from(size) + 1, 2 * u64::from(size))], "{stream:?}");
        assert_eq!(pulled.distinct().len(), size as usize + 30, "{stream:?}");
    }
}

#[tokio::test]
async fn every_form_of_the_end_ends_a_list() {
    for (stream, size) in LISTS {
        for end in [End::Empty, End::Status(404), End::Status(400), End::Clamped] {
            for rows in [size + 1, 2 * size, 2 * size + 30] {
                for has_total in [true, false] {
                    let world = World { end, has_total, ..world(rows) };
                    let pulled = Vendor::new(world).pull(of(stream)).await.ended();
                    assert_eq!(pulled.distinct(), ids(1..=rows), "{stream:?} {end:?} {rows}");
                    assert!(pulled.notes().is_empty(), "{:?}", pulled.notes());
                    assert!(pulled.asked.len() <= 7, "{:?}", pulled.asked);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_saved_page_of_a_list_that_is_refused_restarts_it_once() {
    for (stream, size) in LISTS {
        for status in [400, 404, 410, 422] {
            let world = World { end: End::Status(status), ..world(size + 30) };
            let pulled = Vendor::new(world).pull(saved(of(stream), 9)).await.ended();
            assert_eq!(pulled.distinct(), ids(1..=size + 30), "{stream:?} {status}");
            assert!(pulled.batches[0].page.restarted);
        }
    }
}

#[tokio::test]
async fn gaps_of_a_list_are_tried_again() {
    for (stream, size) in LISTS {
        let not_due = OpenGap { is_due: false, ..due(3, 3) };
        let gaps = vec![due(7, 7), not_due, due(9, 9)];
        let world = World { dead: ids([9]), ..world(size + 30) };
        let pulled = Vendor::new(world).pull(ReadRequest { gaps, ..of(stream) }).await.ended();
        assert!(pulled.asked.iter().any(|query| query.ends_with("page=7")), "{stream:?}");
        assert!(pulled.gaps().iter().all(|gap| gap.bounds == due(9, 9).bounds), "{stream:?}");
        assert_eq!(pulled.batches[0].gaps[0].bounds, GapBounds::Positions { first: 9, last: 9 });
        assert_eq!(pulled.distinct().len(), size as usize + 29);
    }
}
