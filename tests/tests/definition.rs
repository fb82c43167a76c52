//! Every cell of a report, compared with the definition of its metric in SQL.

use std::collections::BTreeMap;

use chatark_core::{IdentifierKind, Timestamp, Zone, question};
use chatark_sandbox::truth::{Contact, Conversation};
use chatark_sandbox::{Agent, Vendor, World};
use chatark_tests::{KEY, TestEnvironment};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::support::{VENDORS, agent, agent_with, sample};

/// The metrics: the file and its own columns.
const METRICS: [(&str, &str, &str); 9] = [
    ("volume", include_str!("definition/volume.sql"), "status"),
    ("outcome", include_str!("definition/outcome.sql"), ""),
    ("speed", include_str!("definition/speed.sql"), ""),
    ("quality", include_str!("definition/quality.sql"), ""),
    ("tools", include_str!("definition/tools.sql"), "tool, tool_status"),
    ("length", include_str!("definition/length.sql"), ""),
    ("hours", include_str!("definition/hours.sql"), "weekday, hour"),
    ("people", include_str!("definition/people.sql"), ""),
    ("questions", include_str!("definition/questions.sql"), "question"),
];

/// How rows are grouped: by period, source, provider and channel; and which conversations count.
struct Grouping {
    period: Option<&'static str>,
    source: &'static str,
    provider: &'static str,
    channel: &'static str,
    counted: &'static str,
}

const PERIODS: [&str; 3] = ["%Y-%m-%d", "%G-W%V", "%Y-%m"];
const SOURCE: Grouping = Grouping {
    period: None,
    source: "conversations.source",
    provider: "conversations.provider",
    channel: "''",
    counted: "TRUE",
};
const ALL: Grouping =
    Grouping { source: "''", provider: "''", counted: "NOT is_counted_elsewhere", ..SOURCE };

/// The cells of rows by the cells that identify them: value and basis.
type Cells = BTreeMap<Vec<String>, (f64, f64)>;

fn period(format: &'static str) -> Grouping {
    Grouping { period: Some(format), channel: "conversations.channel", ..SOURCE }
}

impl Grouping {
    fn views(&self) -> String {
        let period = |at: &str| match self.period {
            Some(format) => format!("coalesce(local(conversations.{at}, '{format}'), 'undated')"),
            None => "'all'".to_owned(),
        };
        include_str!("definition/views.sql")
            .replace("{period:created_at}", &period("created_at"))
            .replace("{period:at}", &period("at"))
            .replace("{source}", self.source)
            .replace("{provider}", self.provider)
            .replace("{channel}", self.channel)
            .replace("{counted}", self.counted)
    }
}

fn connect(env: &TestEnvironment, zone: Zone) -> Connection {
    let connection = Connection::open(env.path("chatark.db")).unwrap();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let text = |name: &str, function: fn(&str) -> Option<String>| {
        let scalar = move |context: &rusqlite::functions::Context<'_>| {
            Ok(context.get::<Option<String>>(0)?.and_then(|text| function(&text)))
        };
        connection.create_scalar_function(name, 1, flags, scalar).unwrap();
    };
    text("fold", |text| Some(question::normalize(text)));
    text("email", |text| IdentifierKind::Email.normalize(text));
    text("phone", |text| IdentifierKind::Phone.normalize(text));
    text("vendor", |text| text.rsplit_once("-v").map(|(vendor, _)| vendor.to_owned()));
    let local = move |context: &rusqlite::functions::Context<'_>| {
        let instant = context.get::<Option<i64>>(0)?.and_then(|at| Timestamp::from_microseconds(at).ok());
        let format = context.get::<String>(1)?;
        Ok(instant.map(|instant| instant.format_in(zone, &format)))
    };
    connection.create_scalar_function("local", 2, flags, local).unwrap();
    connection.execute_batch(include_str!("definition/facts.sql")).unwrap();
    connection
}

/// Computes a metric from its definition, and adds its cells.
fn add_defined_cells(connection: &Connection, sql: &str, own: &str, cells: &mut Cells) {
    let own = if own.is_empty() { String::new() } else { format!(", {own}") };
    let sql = format!(
        "SELECT value, basis, period, source, provider, channel, metric{own} FROM ({sql}) JOIN group_keys USING (group_key)"
    );
    let mut statement = connection.prepare(&sql).unwrap();
    let width = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let text = |at: usize| match row.get_ref(at).unwrap() {
            rusqlite::types::ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            other => other.as_i64().unwrap().to_string(),
        };
        let named = (2..width).map(text).collect();
        let before = cells.insert(named, (row.get(0).unwrap(), row.get::<_, i64>(1).unwrap() as f64));
        assert_eq!(before, None, "a row is there twice");
    }
}

/// Reads the cells of a CSV file.
fn cells(env: &TestEnvironment, name: &str, own: &str) -> Cells {
    let mut reader = csv::Reader::from_path(env.path("report").join(format!("{name}.csv"))).unwrap();
    let headers = reader.headers().unwrap().clone();
    let base = ["period", "source", "provider", "channel", "metric"];
    let named: Vec<_> = base.into_iter().chain(own.split(", ").filter(|own| !own.is_empty())).collect();
    let place = |column: &str| headers.iter().position(|header| header == column).unwrap();
    let mut cells = Cells::new();
    for row in reader.records().map(Result::unwrap) {
        let number = |column: &str| row[place(column)].parse::<f64>().unwrap();
        let key = named.iter().map(|column| row[place(column)].to_owned()).collect();
        let before = cells.insert(key, (number("value"), number("basis")));
        assert_eq!(before, None, "{name}: a row is there twice");
    }
    cells
}

#[track_caller]
fn compare(name: &str, found: &Cells, expected: &Cells) {
    let names = |cells: &Cells| cells.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "the rows of {name}.csv");
    for (key, (value, basis)) in expected {
        let (found, found_basis) = found[key];
        assert!((found - value).abs() <= value.abs() * 1e-12, "{name}.csv {key:?}: {found} is not {value}");
        assert!((found_basis - basis).abs() < 0.5, "{name}.csv {key:?}: {found_basis} is not {basis}");
    }
}

/// Compares every cell of a report with the definition of its metric.
#[track_caller]
fn check(env: &TestEnvironment, zone: Zone, by: &str) {
    env.expect(0, &["report", "--output", "report", "--timezone", zone.name(), "--by", by]);
    let connection = connect(env, zone);
    let mut expected: BTreeMap<&str, Cells> = BTreeMap::new();
    for (word, format) in ["day", "week", "month"].into_iter().zip(PERIODS) {
        connection.execute_batch(&period(format).views()).unwrap();
        for (name, sql, own) in METRICS.iter().filter(|(name, ..)| *name != "questions") {
            if *name == "volume" || word == by {
                add_defined_cells(&connection, sql, own, expected.entry(name).or_default());
            }
        }
    }
    let mut summary = Cells::new();
    for grouping in [SOURCE, ALL] {
        connection.execute_batch(&grouping.views()).unwrap();
        for (name, sql, own) in METRICS {
            if name == "questions" {
                add_defined_cells(&connection, sql, own, expected.entry(name).or_default());
            } else if !["tools", "hours"].contains(&name) {
                add_defined_cells(&connection, sql, own, &mut summary);
            }
        }
    }
    for (name, _, own) in METRICS {
        assert!(!expected[name].is_empty(), "there is nothing to compare in {name}.csv");
        compare(name, &cells(env, name, own), &expected[name]);
    }
    compare("summary", &cells(env, "summary", ""), &without_status(summary));
}

/// Adds up conversations over their statuses, as a summary does.
fn without_status(cells: Cells) -> Cells {
    let mut sums = Cells::new();
    for (mut key, (value, basis)) in cells {
        key.truncate(5);
        let sum = sums.entry(key).or_insert((0.0, 0.0));
        (sum.0, sum.1) = (sum.0 + value, sum.1 + basis);
    }
    sums
}

/// The same people at all vendors, some of them without an address.
fn with_people(vendor: Vendor) -> Vec<Conversation> {
    let mut conversations: Vec<_> = agent(vendor, 150).dataset.iter().collect();
    for (at, conversation) in conversations.iter_mut().enumerate() {
        let email = (at % 3 != 0).then(|| format!(" Person{}@Example.com", at % 20));
        let phone = (at % 4 != 0).then(|| format!("+49 151 {:06}", at % 25));
        let id = (at % 5 != 0).then(|| format!("contact-{}", at % 30));
        conversation.contact = Contact { id, email, phone, ..Contact::default() };
    }
    conversations
}

#[test]
fn every_cell_is_what_its_definition_says() {
    let agents: Vec<_> = VENDORS
        .into_iter()
        .map(sample)
        .chain(VENDORS.map(|vendor| agent_with(vendor, with_people(vendor))))
        .collect();
    let env = TestEnvironment::of_world(World::of(agents));
    env.expect(0, &["pull"]);
    check(&env, Zone::UTC, "month");
    check(&env, Zone::Europe__Berlin, "day");
}

#[test]
fn a_conversation_that_two_apis_show_is_counted_once_in_totals() {
    let of = |vendor| {
        let dataset = agent(Vendor::ChatbaseV2, 60).dataset;
        Agent::new(vendor, "same-agent", KEY, dataset)
    };
    let mut env = TestEnvironment::of(vec![of(Vendor::ChatbaseV1), of(Vendor::ChatbaseV2)]);
    env.expect(0, &["pull"]);
    check(&env, Zone::UTC, "week");
    let conversations = |source: &str, env: &TestEnvironment| {
        let key = ["all", source, provider(source), "", "conversations"].map(str::to_owned);
        cells(env, "summary", "")[key.as_slice()].0.to_string()
    };
    for source in ["source-1", "source-2", ""] {
        assert_eq!(conversations(source, &env), "60", "{source}");
    }
    env.expect(0, &["report", "source-1", "--output", "report"]);
    assert_eq!(conversations("", &env), "60", "its twin is not in the report");
    env.stop_sandbox();
}

fn provider(source: &str) -> &'static str {
    match source {
        "source-1" => "chatbase-v1",
        "source-2" => "chatbase-v2",
        _ => "",
    }
}
