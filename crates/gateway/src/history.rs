//! One device's course: its states, as curated files have them, thinned to as many as a chart shows.

use crate::answer::{Answer, Refusal, json};
use crate::query::query;
use crate::reads::{Members, no_data, unavailable};
use crate::{Gateway, HistoryQuery, PipelineView};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::{CuratedRow, EventStream};
use serde::Serialize;

const ROWS_DEFAULT: usize = 500;
const ROWS_MAX: usize = 5000;

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    pub(crate) async fn history(&self, head: &Parts) -> Result<Answer, Refusal> {
        #[derive(Serialize)]
        struct Body<'a> {
            device_id: &'a str,
            rows: Vec<Row<'a>>,
            rows_found: usize,
            unreadable_files: usize,
        }
        let query = query(head, &["device_id", "from", "to", "limit"])?;
        let device_id = query.required_device("device_id")?;
        let (from, to) = (query.timestamp("from")?, query.timestamp("to")?);
        let limit = query.limit(ROWS_DEFAULT, ROWS_MAX)?;
        let asked = HistoryQuery { device_id: device_id.clone(), from, to };
        let history = self.view.history(asked).await.map_err(unavailable)?;
        // A device may be without rows: in that time, or because no file has been written since its first reading.
        if history.rows.is_empty() && self.view.device(&device_id).await.map_err(unavailable)?.is_none() {
            return Err(no_data(&device_id));
        }
        let rows = kept(history.rows.len(), limit).map(|place| Row::of(&history.rows[place])).collect();
        let (rows_found, unreadable_files) = (history.rows.len(), history.unreadable_files);
        Ok(json(StatusCode::OK, &Body { device_id: device_id.as_str(), rows, rows_found, unreadable_files }))
    }
}

/// Which of `found` rows are kept: all, or `limit` of them at even distances, the first and the last among them; of a
/// single one, the last.
fn kept(found: usize, limit: usize) -> impl Iterator<Item = usize> {
    let kept = found.min(limit);
    let place = move |number: usize| match kept {
        1 => found - 1,
        // Never the same twice: the distance is at least 1.
        _ => number * (found - 1) / (kept - 1),
    };
    (0..kept).map(place)
}

/// A state, with the members of `GET /`.
#[derive(Serialize)]
struct Row<'a> {
    revision: u64,
    #[serde(flatten)]
    members: Members<'a>,
}

impl<'a> Row<'a> {
    fn of(row: &'a CuratedRow) -> Self {
        Row { revision: row.revision, members: Members(&row.statistics) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_row_the_last_is_kept() {
        assert_eq!(kept(9, 1).collect::<Vec<_>>(), [8]);
        assert_eq!(kept(0, 1).count(), 0);
    }

    proptest::proptest! {
        #[test]
        fn first_and_last_and_even_distances_are_kept(found in 0usize..3000, limit in 2usize..5000) {
            let places: Vec<usize> = kept(found, limit).collect();
            proptest::prop_assert_eq!(places.len(), found.min(limit));
            let ends = (places.first().copied(), places.last().copied());
            proptest::prop_assert_eq!(ends, ((found > 0).then_some(0), found.checked_sub(1)));
            let distances: Vec<usize> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let (least, most) = (distances.iter().min(), distances.iter().max());
            proptest::prop_assert!(least.zip(most).is_none_or(|(least, most)| *least > 0 && most - least <= 1));
        }
    }
}
