//! The walk through the export, in a file of its own since it reads in two ways: whole pages, and pages of
//! summaries of which it then fetches what has changed.

use std::sync::Arc;

use bytes::Bytes;
use chatark_core::{Batch, Checkpoint, ConversationId, Error, ErrorKind, Facts, Known, PullRequest, Result};
use chatark_http::{Call, CursorGuard, Page};

use crate::map::{self, Summary};
use crate::source::{ChatbaseV2, EXPORT_LIMIT, STALE, absent, open, raw, seal};
use crate::wire;

/// So many changed conversations of a page are fetched one by one. Each costs a round trip and a request of the
/// rate limit; the whole page costs one of each, and the bytes of up to twenty conversations.
const FEW: usize = 3;
/// What a user is told where nothing but whole pages can be relied on.
const IGNORES_ID: &str =
    "this deployment does not give single conversations by `conversationId`: reading everything";

/// How a page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// With the messages of each conversation.
    Whole,
    /// Without them.
    Summaries,
}

/// A walk through the export, newest first, one page at a time.
///
/// With [`Known`], it begins with a page of summaries. After a page of which most had changed, the next one is
/// read whole at once, so that a first pull costs one request more than it has pages; after a whole page of which
/// most was held, the next one is read as summaries again.
pub(crate) struct Sweep<'a> {
    provider: &'a ChatbaseV2,
    call: Call,
    scope: String,
    known: Option<Arc<dyn Known>>,
    reading: Reading,
    place: Option<wire::Place>,
    /// Whether a cursor of summaries is good for whole pages, and the other way round, as far as is known.
    may_switch: bool,
    resumed: bool,
    seen: bool,
    guard: CursorGuard,
    /// Why the walk cannot go on after a page that was handed over.
    stuck: Option<Error>,
}

impl<'a> Sweep<'a> {
    pub(crate) fn new(provider: &'a ChatbaseV2, request: &PullRequest) -> Self {
        let scope = request.scope();
        let place = open(request.cursor.as_ref(), &scope);
        let call = provider.sweep_call(request).query("limit", EXPORT_LIMIT);
        let resumed = place.is_some();
        let known = request.known.clone();
        let reading = match (&known, &place) {
            (None, _) => Reading::Whole,
            (Some(_), None) => Reading::Summaries,
            (Some(_), Some(place)) => place.reading(),
        };
        Self {
            provider,
            call,
            scope,
            known,
            reading,
            place,
            may_switch: true,
            resumed,
            seen: resumed,
            guard: CursorGuard::default(),
            stuck: None,
        }
    }

    /// Reads a page, and what has changed of it, and returns the walk where more follows.
    pub(crate) async fn next(mut self) -> Result<(Batch, Option<Self>)> {
        if let Some(error) = self.stuck.take() {
            return Err(error);
        }
        let mut batch = Batch { facts: Facts { pages: 1, ..Facts::default() }, ..Batch::default() };
        let page = self.page(&mut batch.facts).await?;
        self.resumed = false;
        let pagination = self.provider.envelope(&page, &self.call)?;
        batch.facts.total = pagination.total;
        self.seen |= !page.elements.is_empty();
        let next = self.provider.next_cursor(&page, &self.call, &pagination, &mut self.guard);
        batch.facts.empty_pages = u64::from(page.elements.is_empty() && matches!(next, Ok(Some(_))));
        let read_as = self.reading;
        match self.known.clone() {
            None => batch.conversations = page.elements.into_iter().map(raw).collect(),
            Some(known) => {
                if !self.sift(page.elements, known.as_ref(), &mut batch).await? {
                    return Ok((self.begin_anew(batch.facts), Some(self)));
                }
            }
        }
        match next {
            Ok(Some(cursor)) => {
                let place = wire::Place { cursor, of_summaries: read_as == Reading::Summaries };
                batch.checkpoint = Checkpoint::At(seal(&self.scope, &place)?);
                self.place = Some(place);
            }
            Ok(None) => {
                if !self.seen {
                    batch.facts.notes.push(self.provider.explain_emptiness().await?);
                }
                batch.checkpoint = Checkpoint::End;
            }
            // The page itself is good and is kept.
            Err(error) => self.stuck = Some(error),
        }
        let more = (batch.checkpoint != Checkpoint::End).then_some(self);
        Ok((batch, more))
    }

    /// Asks for the page at hand. A cursor that is refused may be too old, or given with a page of the other kind.
    async fn page(&mut self, facts: &mut Facts) -> Result<Page> {
        loop {
            let error = match self.ask(self.reading).await {
                Err(error) if error.kind() == ErrorKind::Refused => error,
                other => return other,
            };
            match &self.place {
                // Without anything to compare them with, summaries are of no use.
                Some(place) if self.known.is_some() && place.reading() != self.reading => {
                    self.reading = place.reading();
                    self.may_switch = false;
                }
                Some(_) if self.resumed => {
                    facts.restarted = true;
                    facts.notes.push(STALE.to_owned());
                    self.place = None;
                    self.resumed = false;
                }
                _ => return Err(error),
            }
        }
    }

    async fn ask(&self, reading: Reading) -> Result<Page> {
        let call = self
            .call
            .clone()
            .maybe("include", (reading == Reading::Summaries).then_some("summary"))
            .maybe("cursor", self.place.as_ref().map(|place| &place.cursor));
        self.provider.client.page(&call, "data").await
    }

    /// Tells what has changed from what is held, and fetches it. Returns `false` where it cannot be fetched.
    ///
    /// An element with messages is a conversation, however it was asked for: an older deployment ignores `include`.
    async fn sift(&mut self, elements: Vec<Bytes>, known: &dyn Known, batch: &mut Batch) -> Result<bool> {
        let summaries: Vec<_> = elements.iter().map(|bytes| map::summary(bytes)).collect();
        let held = is_held(&summaries, known);
        let changed = held.iter().filter(|held| !**held).count();
        let read_as = self.reading;
        self.choose_reading(changed, elements.len());
        let mut stale = Vec::new();
        for ((bytes, Summary { id, is_whole, .. }), held) in elements.into_iter().zip(summaries).zip(held) {
            match id {
                _ if is_whole || read_as == Reading::Whole => batch.conversations.push(raw(bytes)),
                Some(id) if held => batch.unchanged.push(id),
                id => stale.push((id, bytes)),
            }
        }
        self.fetch(stale, batch).await
    }

    fn choose_reading(&mut self, changed: usize, elements: usize) {
        if self.may_switch && elements > 0 {
            self.reading = if changed * 2 > elements { Reading::Whole } else { Reading::Summaries };
        }
    }

    /// Fetches what the summaries showed as changed, by the page or one by one.
    async fn fetch(
        &mut self,
        mut stale: Vec<(Option<ConversationId>, Bytes)>,
        batch: &mut Batch,
    ) -> Result<bool> {
        if self.may_switch && (stale.len() > FEW || stale.iter().any(|(id, _)| id.is_none())) {
            match self.ask(Reading::Whole).await {
                Ok(page) => {
                    self.provider.envelope(&page, &self.call)?;
                    batch.facts.pages += 1;
                    let shown: Vec<_> = page.elements.into_iter().map(raw).collect();
                    let is_shown =
                        |id: Option<&ConversationId>| shown.iter().any(|raw| raw.id.as_ref() == id);
                    stale.retain(|(id, _)| !is_shown(id.as_ref()));
                    batch.unchanged.retain(|id| !is_shown(Some(id)));
                    batch.conversations.extend(shown);
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
                // Nothing leads to the messages of a conversation without an id: what is shown of it is kept.
                batch.conversations.push(raw(bytes));
                continue;
            };
            batch.facts.pages += 1;
            let Some(found) = self.provider.by_id(&id).await? else { return Ok(false) };
            if found.is_empty() {
                batch.facts.notes.push(absent(&id));
            }
            batch.conversations.extend(found);
        }
        Ok(true)
    }

    /// Goes back to the beginning and reads whole pages from there.
    fn begin_anew(&mut self, mut facts: Facts) -> Batch {
        facts.restarted = true;
        facts.notes.push(IGNORES_ID.to_owned());
        (self.known, self.reading, self.place) = (None, Reading::Whole, None);
        self.guard = CursorGuard::default();
        Batch { facts, ..Batch::default() }
    }
}

impl wire::Place {
    fn reading(&self) -> Reading {
        if self.of_summaries { Reading::Summaries } else { Reading::Whole }
    }
}

/// Returns for each element whether the archive holds the state that it shows.
fn is_held(summaries: &[Summary], known: &dyn Known) -> Vec<bool> {
    let ids: Vec<_> = summaries.iter().filter_map(|summary| summary.id.clone()).collect();
    let mut held = known.held(&ids).into_iter();
    let mut is_held = |summary: &Summary| {
        summary.id.is_some()
            && held.next().flatten().is_some_and(|held| held == summary.held && held.updated_at.is_some())
    };
    summaries.iter().map(&mut is_held).collect()
}
