//! One chain of cursors through one time window, newest first. It reads either whole pages, or pages of summaries and
//! then the conversations that have changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use chatark_core::{
    Batch, Error, ErrorKind, HeldSummary, Known, PageMetadata, Record, RecordId, Result, Stream, Surface,
    Timestamp,
};
use chatark_http::{Call, CursorGuard, Page};

use crate::map::{self, Summary};
use crate::source::{ChatbaseV2, STALE, absent, raw};
use crate::wire;

/// Up to this many changed conversations of a page are fetched one by one. Each costs a round trip and a request of the
/// rate limit; the whole page costs one of each, and the bytes of up to twenty conversations.
const MAX_SINGLE_FETCHES: usize = 3;
/// The note to the user if conversations cannot be fetched by id.
const IGNORES_ID: &str =
    "this deployment does not return single conversations by `conversationId`: reading everything";

const IGNORES_DATES: &str = "this deployment ignores the requested dates: reading one page after another";
/// The vendor may treat the end of a window as exclusive or round it, so a slightly later end is requested.
const MARGIN_SECONDS: i64 = 1;

/// What a page contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Conversations with their messages.
    Whole,
    /// Conversations without their messages.
    Summaries,
}

/// The time window of a chain: what began after its floor, up to its ceiling.
///
/// The floor rises when another chain takes over the older part.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) ceiling: Option<Timestamp>,
    /// Microseconds since 1970.
    floor: AtomicI64,
}

/// One chain, with the position that it has reached.
///
/// With [`Known`], it begins with a page of summaries. If most of a page has changed, the next page is read whole, so
/// that a first pull costs only one request more than it has pages. If most of a whole page was held, the next page is
/// read as summaries again.
pub(crate) struct Chain<'a> {
    provider: &'a ChatbaseV2,
    call: Call,
    known: Option<Arc<dyn Known>>,
    window: Arc<Window>,
    pub(crate) reading: Reading,
    pub(crate) place: Option<wire::Place>,
    /// Whether cursors of summaries seem to be valid for whole pages, and vice versa.
    may_switch: bool,
    /// Whether the position is that of an earlier run, and nothing has been read since.
    resumed: bool,
    guard: CursorGuard,
    /// When the last listed conversation began.
    oldest: Option<Timestamp>,
}

/// A page of a chain, and what follows it.
pub(crate) struct Step {
    /// The conversations, without a checkpoint.
    pub(crate) batch: Batch,
    /// How many conversations match the chain's request, by the vendor's count.
    pub(crate) total: Option<u64>,
    /// How many of them the page contained.
    pub(crate) shown: u64,
    /// Their size in bytes.
    pub(crate) bytes: usize,
    /// When the newest and the oldest of them began.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
    pub(crate) next: Next,
}

/// What follows a page.
pub(crate) enum Next {
    /// Another page.
    Page,
    /// Nothing: the chain has ended.
    End,
    /// The page is valid and is kept, but the chain cannot continue.
    Stuck(Error),
    /// The whole sweep restarts, with fewer demands on the deployment.
    Restart(RestartReason),
}

/// Why a sweep restarts from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestartReason {
    /// The deployment does not return conversations by id.
    IgnoresId,
    /// The deployment returns conversations outside the requested window, or out of order.
    IgnoresDates,
}

/// An element of a page.
struct Shown {
    bytes: Bytes,
    summary: Summary,
}

impl Window {
    pub(crate) fn new(floor: Option<Timestamp>, ceiling: Option<Timestamp>) -> Self {
        Self { ceiling, floor: AtomicI64::new(floor.map_or(i64::MIN, Timestamp::microseconds)) }
    }

    pub(crate) fn floor(&self) -> Option<Timestamp> {
        Timestamp::from_microseconds(self.floor.load(Ordering::Relaxed)).ok()
    }

    /// Leaves what began at or before an instant to another chain.
    pub(crate) fn raise_floor(&self, floor: Timestamp) {
        self.floor.store(floor.microseconds(), Ordering::Relaxed);
    }

    fn holds(&self, began: Option<Timestamp>) -> bool {
        self.is_above_floor(began) && self.is_below_ceiling(began)
    }

    fn is_above_floor(&self, began: Option<Timestamp>) -> bool {
        began.is_none_or(|began| began.microseconds() > self.floor.load(Ordering::Relaxed))
    }

    fn is_below_ceiling(&self, began: Option<Timestamp>) -> bool {
        began.is_none_or(|began| self.ceiling.is_none_or(|ceiling| began <= ceiling))
    }

    /// Returns whether a conversation that began then is outside the requested window.
    fn is_stray(&self, began: Option<Timestamp>) -> bool {
        let latest = self.ceiling.and_then(|ceiling| ceiling.shifted(MARGIN_SECONDS));
        began.zip(latest).is_some_and(|(began, latest)| began > latest)
    }
}

impl RestartReason {
    /// Returns the note to the user.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::IgnoresId => IGNORES_ID,
            Self::IgnoresDates => IGNORES_DATES,
        }
    }
}

impl<'a> Chain<'a> {
    /// Creates a chain; `call` must not have an end date if the window has a ceiling.
    pub(crate) fn new(
        provider: &'a ChatbaseV2,
        call: Call,
        known: Option<Arc<dyn Known>>,
        window: Arc<Window>,
        reading: Reading,
    ) -> Self {
        let end = window.ceiling.and_then(|ceiling| ceiling.shifted(MARGIN_SECONDS));
        let call = call.maybe("endDate", end);
        let guard = CursorGuard::default();
        let (place, oldest) = (None, None);
        Self {
            provider,
            call,
            known,
            window,
            reading,
            place,
            may_switch: true,
            resumed: false,
            guard,
            oldest,
        }
    }

    /// Resumes from the position of an earlier run.
    pub(crate) fn resume(mut self, place: Option<wire::Place>) -> Self {
        self.resumed = place.is_some();
        if let Some(place) = place {
            // Summaries are useless without anything to compare them with.
            self.reading = if self.known.is_some() { place.reading() } else { Reading::Whole };
            self.place = Some(place);
        }
        self
    }

    /// Reads a page, and fetches what has changed.
    pub(crate) async fn step(mut self) -> (Self, Result<Step>) {
        let step = self.read().await;
        (self, step)
    }

    async fn read(&mut self) -> Result<Step> {
        let mut batch =
            Batch { page: PageMetadata { pages: 1, ..PageMetadata::default() }, ..Batch::default() };
        let page = self.page(&mut batch.page).await?;
        self.resumed = false;
        let pagination = self.provider.envelope(&page, &self.call)?;
        let next = self.provider.next_cursor(&page, &self.call, &pagination, &mut self.guard);
        batch.page.empty_pages = u64::from(page.elements.is_empty() && matches!(next, Ok(Some(_))));
        let (shown, bytes) = (page.elements.len() as u64, page.elements.iter().map(Bytes::len).sum());
        let mut elements: Vec<_> = page.elements.into_iter().map(|bytes| self.summarize(bytes)).collect();
        let began = || elements.iter().filter_map(|element| element.summary.created_at);
        let span = began().max().zip(began().min());
        let total = pagination.total;
        let step = |batch, next| Step { batch, total, shown, bytes, span, next };
        let reached_floor =
            elements.iter().any(|element| !self.window.is_above_floor(element.summary.created_at));
        if self.is_unreliable(&elements) {
            return Ok(step(batch, Next::Restart(RestartReason::IgnoresDates)));
        }
        elements.retain(|element| self.window.holds(element.summary.created_at));
        let read_as = self.reading;
        match self.known.clone() {
            None => batch.records = elements.into_iter().map(Shown::raw).collect(),
            Some(known) => {
                if !self.split_changed(elements, known.as_ref(), &mut batch).await? {
                    return Ok(step(batch, Next::Restart(RestartReason::IgnoresId)));
                }
            }
        }
        let next = match next {
            _ if reached_floor => Next::End,
            Ok(Some(cursor)) => {
                self.place = Some(wire::Place { cursor, of_summaries: read_as == Reading::Summaries });
                Next::Page
            }
            Ok(None) => Next::End,
            Err(error) => Next::Stuck(error),
        };
        Ok(step(batch, next))
    }

    /// Returns whether the vendor's count covers the whole request, not only a window of it.
    pub(crate) fn counts_whole_request(&self) -> bool {
        self.window.ceiling.is_none()
    }

    fn summarize(&self, bytes: Bytes) -> Shown {
        let summary = if self.known.is_some() { map::summary(&bytes) } else { map::identity(&bytes) };
        Shown { bytes, summary }
    }

    /// Returns whether the page contradicts its window or order, so that the end of a window proves nothing.
    fn is_unreliable(&mut self, elements: &[Shown]) -> bool {
        let is_bounded = self.window.ceiling.is_some() || self.window.floor().is_some();
        let mut is_unreliable = false;
        for began in elements.iter().filter_map(|element| element.summary.created_at) {
            let is_unordered = self.oldest.is_some_and(|oldest| began > oldest);
            is_unreliable |= is_bounded && (is_unordered || self.window.is_stray(Some(began)));
            self.oldest = Some(began);
        }
        is_unreliable
    }

    /// Requests the current page. A rejected cursor may be too old, or from a page of the other kind.
    async fn page(&mut self, metadata: &mut PageMetadata) -> Result<Page> {
        loop {
            let error = match self.request(self.reading).await {
                Err(error) if error.kind() == ErrorKind::Refused => error,
                other => return other,
            };
            match &self.place {
                // Summaries are useless without anything to compare them with.
                Some(place) if self.known.is_some() && place.reading() != self.reading => {
                    self.reading = place.reading();
                    self.may_switch = false;
                }
                Some(_) if self.resumed => {
                    // With several windows, the others continue, and what this one lists again is known to have been
                    // seen.
                    metadata.restarted = self.window.ceiling.is_none() && self.window.floor().is_none();
                    metadata.notes.push(STALE.to_owned());
                    self.place = None;
                    self.resumed = false;
                }
                _ => return Err(error),
            }
        }
    }

    async fn request(&self, reading: Reading) -> Result<Page> {
        let call = self
            .call
            .clone()
            .maybe("include", (reading == Reading::Summaries).then_some("summary"))
            .maybe("cursor", self.place.as_ref().map(|place| &place.cursor));
        self.provider.client.page(&call, "data").await
    }

    /// Splits a page into what is held and what has changed, and fetches the latter. Returns `false` if it cannot be
    /// fetched.
    ///
    /// An element with messages is a whole conversation even on a page of summaries: an older deployment ignores
    /// `include`.
    async fn split_changed(
        &mut self,
        elements: Vec<Shown>,
        known: &dyn Known,
        batch: &mut Batch,
    ) -> Result<bool> {
        let held = is_held(&elements, known);
        let changed = held.iter().filter(|held| !**held).count();
        let read_as = self.reading;
        self.choose_reading(changed, elements.len());
        let mut stale = Vec::new();
        for (shown, held) in elements.into_iter().zip(held) {
            match shown.summary.id {
                _ if shown.summary.is_whole || read_as == Reading::Whole => {
                    batch.records.push(shown.raw());
                }
                Some(id) if held => batch.unchanged.push(id),
                id => stale.push((id, shown.bytes)),
            }
        }
        self.fetch(stale, batch).await
    }

    fn choose_reading(&mut self, changed: usize, elements: usize) {
        if self.may_switch && elements > 0 {
            self.reading = if changed * 2 > elements { Reading::Whole } else { Reading::Summaries };
        }
    }

    /// Fetches what has changed, by the page or one by one.
    async fn fetch(&mut self, mut stale: Vec<(Option<RecordId>, Bytes)>, batch: &mut Batch) -> Result<bool> {
        if self.may_switch && (stale.len() > MAX_SINGLE_FETCHES || stale.iter().any(|(id, _)| id.is_none())) {
            match self.request(Reading::Whole).await {
                Ok(page) => {
                    self.provider.envelope(&page, &self.call)?;
                    batch.page.pages += 1;
                    // What another chain returns is not returned twice.
                    let elements = page.elements.into_iter().map(|bytes| self.summarize(bytes));
                    let is_ours = |shown: &Shown| self.window.holds(shown.summary.created_at);
                    let shown: Vec<_> = elements.filter(is_ours).map(Shown::raw).collect();
                    let is_shown = |id: Option<&RecordId>| shown.iter().any(|raw| raw.id.as_ref() == id);
                    stale.retain(|(id, _)| !is_shown(id.as_ref()));
                    batch.unchanged.retain(|id| !is_shown(Some(id)));
                    batch.records.extend(shown);
                }
                Err(error) if error.kind() == ErrorKind::Refused && self.place.is_some() => {
                    self.may_switch = false;
                    self.reading = Reading::Summaries;
                }
                Err(error) => return Err(error),
            }
        }
        for (id, bytes) in stale {
            let Some(id) = id else {
                // The messages of a conversation without an id cannot be fetched: its summary is kept.
                batch.records.push(raw(bytes));
                continue;
            };
            batch.page.pages += 1;
            let Some(found) = self.provider.by_id(&id).await? else { return Ok(false) };
            if found.is_empty() {
                batch.page.notes.push(absent(&id));
            }
            batch.records.extend(found);
        }
        Ok(true)
    }
}

impl Shown {
    fn raw(self) -> Record {
        Record {
            stream: Stream::Conversations,
            id: self.summary.id,
            parent: None,
            surface: Surface::Export,
            bytes: self.bytes,
        }
    }
}

impl wire::Place {
    fn reading(&self) -> Reading {
        if self.of_summaries { Reading::Summaries } else { Reading::Whole }
    }
}

/// Returns for each element whether the archive holds it in the same state.
fn is_held(elements: &[Shown], known: &dyn Known) -> Vec<bool> {
    let ids: Vec<_> = elements.iter().filter_map(|element| element.summary.id.clone()).collect();
    let mut held = known.held(&ids).into_iter();
    let mut is_held = |Shown { summary, .. }: &Shown| {
        summary.id.is_some()
            && held.next().flatten().is_some_and(|held| {
                let seen =
                    |held: &HeldSummary| (held.updated_at, held.title.clone(), held.status_raw.clone());
                seen(&held) == seen(&summary.held) && held.updated_at.is_some()
            })
    };
    elements.iter().map(&mut is_held).collect()
}
