//! The people of Chatbase's first API: leads (read only) and contacts (read and write).

use std::cmp::Reverse;
use std::collections::HashSet;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::call::{AgentCall, Call};
use crate::chatbase_v1_parameters::{date, invalid, number};
use crate::exchange::{ApiRequest, Reply};
use crate::time;
use crate::truth::Person;
use crate::world::{Agent, LeadsShape};

const DEFAULT_LEADS: usize = 10;
const MAX_LEADS: usize = 100;

const DEFAULT_CONTACTS: usize = 10;
const MIN_CONTACTS: usize = 10;
const MAX_CONTACTS: usize = 1_000;

/// The maximum number of contacts per request.
const MAX_USERS: usize = 1_000;

/// The fields of a contact that are texts.
const TEXTS: [&str; 4] = ["external_id", "name", "email", "phonenumber"];

/// The fields of a contact that no two contacts share.
const UNIQUE: [&str; 2] = ["email", "external_id"];

/// The account that all leads belong to.
const ACCOUNT: &str = "sandbox-account";

/// The contacts that were written to an agent.
#[derive(Debug, Default)]
pub(crate) struct WrittenContacts {
    /// The contacts as the list shows them.
    listed: Vec<Value>,
}

/// Answers a request for contacts; `None` if there is no such route.
pub(crate) fn answer(call: &AgentCall<'_>, agent: &Agent, written: &mut WrittenContacts) -> Option<Reply> {
    Some(match (call.method.as_str(), call.route) {
        ("GET", ["contacts"]) => list(call, &contacts(agent, written)),
        ("POST", ["contacts"]) => add(call, agent, written),
        _ => return None,
    })
}

/// Returns an agent's contacts as the list shows them: those of the world, then those that were written.
pub(crate) fn contacts(agent: &Agent, written: &WrittenContacts) -> Vec<Value> {
    agent.contacts.iter().map(listed_contact).chain(written.listed.iter().cloned()).collect()
}

fn listed_contact(person: &Person) -> Value {
    let attributes: Map<String, Value> =
        person.company.iter().map(|company| ("company".to_owned(), json!(company))).collect();
    json!({
        "id": person.id,
        "external_id": person.external_id,
        "name": person.name,
        "email": person.email,
        "phonenumber": person.phone,
        "stripe_accounts": [],
        "custom_attributes": attributes,
        "created_at": person.created_at,
        "updated_at": person.created_at,
    })
}

fn list(call: &AgentCall<'_>, held: &[Value]) -> Reply {
    let page = number(call.request, "page", 1);
    let per_page = number(call.request, "per_page", DEFAULT_CONTACTS)
        .filter(|size| (MIN_CONTACTS..=MAX_CONTACTS).contains(size));
    let (Some(page), Some(per_page)) = (page, per_page) else {
        return invalid();
    };
    let skipped = (call.paging_fault.page(page) - 1).saturating_mul(per_page);
    let max = if call.paging_fault.is_empty_page() { 0 } else { per_page };
    let shown: Vec<&Value> = held.iter().skip(skipped).take(max).collect();
    let pages = json!({
        "page": page,
        "per_page": per_page,
        "total_pages": held.len().div_ceil(per_page),
    });
    let body = json!({ "message": "Success", "data": shown, "total": held.len(), "pages": pages });
    Reply::json(StatusCode::OK, &body)
}

/// Adds all contacts of a request, or none of them.
fn add(call: &AgentCall<'_>, agent: &Agent, written: &mut WrittenContacts) -> Reply {
    let body: Value = serde_json::from_slice(call.body).unwrap_or_default();
    let Some(users) = body["users"].as_array().filter(|users| are_valid(users)) else {
        return invalid();
    };
    let held = contacts(agent, written);
    if let Some(field) = taken_field(&held, users) {
        let message = format!("A contact with this {field} already exists");
        return Reply::json(StatusCode::BAD_REQUEST, &json!({ "message": message }));
    }
    let first = written.listed.len() + 1;
    let added = users.iter().zip(first..).map(|(user, number)| written_contact(agent, user, number));
    let added: Vec<Value> = added.collect();
    written.listed.extend(added.iter().cloned());
    Reply::json(StatusCode::OK, &json!({ "message": "Success", "data": added }))
}

fn are_valid(users: &[Value]) -> bool {
    (1..=MAX_USERS).contains(&users.len()) && users.iter().all(is_valid)
}

fn is_valid(user: &Value) -> bool {
    let (accounts, attributes) = (&user["stripe_accounts"], &user["custom_attributes"]);
    user.is_object()
        && TEXTS.iter().all(|field| user[field].is_null() || user[field].is_string())
        && (accounts.is_null() || accounts.is_array())
        && (attributes.is_null() || attributes.is_object())
}

/// Returns a field in which two contacts would collide, also within the request.
fn taken_field(held: &[Value], users: &[Value]) -> Option<&'static str> {
    UNIQUE.into_iter().find(|&field| {
        let mut taken: HashSet<&str> = held.iter().filter_map(|contact| contact[field].as_str()).collect();
        users.iter().filter_map(|user| user[field].as_str()).any(|text| !taken.insert(text))
    })
}

/// Returns a contact without the fields that its agent does not have; they are dropped silently.
fn written_contact(agent: &Agent, user: &Value, number: usize) -> Value {
    let sent = user["custom_attributes"].as_object().into_iter().flatten();
    let attributes: Map<String, Value> = sent
        .filter(|(name, _)| agent.attributes.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let now = time::now_seconds();
    let mut contact = json!({
        "id": format!("contact_{number:08}"),
        "stripe_accounts": user["stripe_accounts"].as_array().cloned().unwrap_or_default(),
        "custom_attributes": attributes,
        "created_at": now,
        "updated_at": now,
    });
    for field in TEXTS {
        contact[field] = user[field].clone();
    }
    contact
}

/// Answers a request for leads, newest first. An unknown agent is answered like an empty one.
pub(crate) fn leads(call: &Call<'_>) -> Reply {
    let Some(query) = LeadsQuery::read(call.request) else {
        return invalid();
    };
    let (held, shape) = match &call.agent {
        Some(agent) => (&agent.leads[..], agent.leads_shape),
        None => (&[][..], LeadsShape::default()),
    };
    let mut matching: Vec<&Person> = held.iter().filter(|person| query.passes(person)).collect();
    matching.sort_by_key(|person| Reverse(person.created_at));
    let skipped = (call.paging_fault.page(query.page) - 1).saturating_mul(query.size);
    let max = if call.paging_fault.is_empty_page() { 0 } else { query.size };
    let shown = matching.into_iter().skip(skipped).take(max);
    let collected: Value = match shape {
        LeadsShape::Documented => shown.map(|person| documented_lead(query.agent_id, person)).collect(),
        LeadsShape::Observed => json!({ "data": shown.map(observed_lead).collect::<Value>() }),
    };
    Reply::json(StatusCode::OK, &json!({ "collectedCustomers": collected }))
}

/// The parsed parameters of the list of leads.
struct LeadsQuery<'a> {
    agent_id: &'a str,
    page: usize,
    size: usize,
    from: Option<i64>,
    to: Option<i64>,
}

impl<'a> LeadsQuery<'a> {
    fn read(request: &'a ApiRequest) -> Option<Self> {
        let query = Self {
            agent_id: request.parameter("chatbotId")?,
            page: number(request, "page", 1)?,
            size: number(request, "size", DEFAULT_LEADS)?,
            from: date(request, "startDate", time::first_second)?,
            to: date(request, "endDate", time::last_second)?,
        };
        (query.size <= MAX_LEADS).then_some(query)
    }

    fn passes(&self, person: &Person) -> bool {
        self.from.is_none_or(|from| person.created_at >= from)
            && self.to.is_none_or(|to| person.created_at <= to)
    }
}

fn documented_lead(agent_id: &str, person: &Person) -> Value {
    json!({
        "id": format!("lead_{}", person.id),
        "name": person.name,
        "email": person.email,
        "phone": person.phone,
        "created_at": time::iso_seconds(person.created_at),
        "chatbot_id": agent_id,
        "account_id": ACCOUNT,
    })
}

fn observed_lead(person: &Person) -> Value {
    // The id in a test may be other than a number.
    let id = person.id.parse::<u64>().map_or_else(|_| json!(person.id), |number| json!(number));
    json!({
        "id": id,
        "name": person.name,
        "email": person.email,
        "phone": person.phone,
        "created_at": time::iso_milliseconds(person.created_at),
    })
}
