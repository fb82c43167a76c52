//! Reports: each number is compared with one that is counted here from the vendors' data.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use chatark_sandbox::truth::{Contact, Content, Conversation, Message, Role, ToolStatus};
use chatark_sandbox::{Agent, Expected, Vendor, World};
use chatark_tests::{TestEnvironment, provider};
use serde_json::{Value, json};

use crate::support::{
    VENDORS, agent, agent_with, api_conversation, archived, current_agent, rfc3339, sample,
};

/// The rows of a CSV file, by column.
fn rows(folder: &Path, name: &str) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_path(folder.join(name)).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

/// Returns the numbers of `summary.csv` by source and metric: value and basis.
fn summary(folder: &Path) -> BTreeMap<(String, String), (f64, u64)> {
    let number =
        |row: &HashMap<String, String>| (row["value"].parse().unwrap(), row["basis"].parse().unwrap());
    let all = rows(folder, "summary.csv");
    all.iter().map(|row| ((row["source"].clone(), row["metric"].clone()), number(row))).collect()
}

fn report_folder(env: &TestEnvironment, arguments: &[&str]) -> std::path::PathBuf {
    env.expect(0, &[&["report", "--output", "report"], arguments].concat());
    env.path("report")
}

/// The numbers of one source, counted from what its vendor sends.
#[derive(Default)]
struct Counted {
    numbers: BTreeMap<String, (f64, u64)>,
}

impl Counted {
    fn set(&mut self, metric: &str, value: f64, basis: usize) {
        self.numbers.insert(metric.to_owned(), (value, basis as u64));
    }

    fn rate(&mut self, metric: &str, hits: usize, basis: usize) {
        self.set(metric, hits as f64, basis);
        self.set(&format!("{metric}_rate"), hits as f64 / basis as f64, basis);
    }

    /// Sets percentiles by the nearest rank: the smallest value that at least this percentage of values do not exceed.
    fn percentiles(&mut self, metric: &str, mut values: Vec<f64>, percents: &[(&str, usize)]) {
        values.sort_by(f64::total_cmp);
        for (name, percent) in percents {
            let enough = |at: &usize| (at + 1) * 100 >= percent * values.len();
            if let Some(at) = (0..values.len()).find(enough) {
                self.set(&format!("{metric}_{name}"), values[at], values.len());
            }
        }
    }
}

fn speakers(expected: &Expected) -> Vec<(&'static str, Option<i64>)> {
    let speaks = |role: &str| matches!(role, "user" | "assistant" | "human_agent");
    expected
        .messages
        .iter()
        .filter(|message| speaks(message.role))
        .map(|message| (message.role, message.created_at))
        .collect()
}

/// Counts every number of a summary for a source. All times are whole seconds, so that no rounding is needed.
fn counted(all: &[Expected]) -> Counted {
    let mut found = Counted::default();
    let messages: usize = all.iter().map(|expected| expected.messages.len()).sum();
    found.set("conversations", all.len() as f64, all.len());
    found.set("messages", messages as f64, messages);
    let talked: Vec<_> = all
        .iter()
        .filter(|expected| expected.messages.iter().any(|message| message.role == "user"))
        .collect();
    let is_over = |expected: &Expected| {
        expected.status == Some("taken_over")
            || expected.messages.iter().any(|message| message.role == "human_agent")
    };
    if all.iter().any(|expected| expected.status.is_some() || is_over(expected)) {
        let over = talked.iter().filter(|expected| is_over(expected)).count();
        found.rate("handed_over", over, talked.len());
        found.rate("contained", talked.len() - over, talked.len());
        found.rate(
            "ended",
            talked.iter().filter(|expected| expected.status == Some("ended")).count(),
            talked.len(),
        );
    }
    let single = talked.iter().filter(|expected| expected.messages.len() == 1).count();
    found.rate("single_message", single, talked.len());
    let unanswered =
        talked.iter().filter(|expected| speakers(expected).last().is_some_and(|(role, _)| *role == "user"));
    found.rate("unanswered", unanswered.count(), talked.len());
    let percents = [("median", 50), ("p90", 90), ("p99", 99)];
    found.percentiles("first_response_seconds", all.iter().filter_map(first_response).collect(), &percents);
    let responses: Vec<_> = all.iter().flat_map(responses).collect();
    found.percentiles("response_seconds", responses, &percents);
    quality(&mut found, all);
    let lengths: Vec<_> = all.iter().map(|expected| expected.messages.len() as f64).collect();
    found.set("messages_per_conversation_mean", messages as f64 / all.len() as f64, all.len());
    found.percentiles("messages_per_conversation", lengths, &percents[..2]);
    let durations: Vec<_> = all
        .iter()
        .filter_map(|expected| Some((expected.updated_at? - expected.created_at?) as f64))
        .filter(|seconds| *seconds >= 0.0)
        .collect();
    if !durations.is_empty() {
        found.set(
            "duration_seconds_mean",
            durations.iter().sum::<f64>() / durations.len() as f64,
            durations.len(),
        );
    }
    found.percentiles("duration_seconds", durations, &percents[..2]);
    found
}

fn first_response(expected: &Expected) -> Option<f64> {
    let speakers = speakers(expected);
    let asked = speakers.iter().position(|(role, _)| *role == "user")?;
    let (_, answered) = speakers[asked..].iter().find(|(role, _)| *role != "user")?;
    Some(((*answered)? - speakers[asked].1?) as f64).filter(|seconds| *seconds >= 0.0)
}

fn responses(expected: &Expected) -> Vec<f64> {
    let speakers = speakers(expected);
    let pairs = speakers.windows(2).filter(|pair| pair[0].0 == "user" && pair[1].0 == "assistant");
    pairs
        .filter_map(|pair| Some((pair[1].1? - pair[0].1?) as f64))
        .filter(|seconds| *seconds >= 0.0)
        .collect()
}

fn quality(found: &mut Counted, all: &[Expected]) {
    let given = |expected: &Expected, word: &str| {
        expected.messages.iter().any(|message| message.role == "assistant" && message.feedback == Some(word))
    };
    let judged = |expected: &Expected| {
        let inside = if given(expected, "negative") {
            Some("negative")
        } else if given(expected, "positive") {
            Some("positive")
        } else {
            None
        };
        expected.feedback.or(inside)
    };
    let number = |word: Option<&str>| all.iter().filter(|expected| judged(expected) == word).count();
    let (positive, negative) = (number(Some("positive")), number(Some("negative")));
    if positive + negative > 0 {
        found.set("feedback_positive", positive as f64, all.len());
        found.set("feedback_negative", negative as f64, all.len());
        found.set("feedback_none", number(None) as f64, all.len());
        found.set("feedback_rate", (positive + negative) as f64 / all.len() as f64, all.len());
        found.set(
            "feedback_positive_rate",
            positive as f64 / (positive + negative) as f64,
            positive + negative,
        );
    }
    let scores: Vec<_> = all
        .iter()
        .flat_map(|expected| &expected.messages)
        .filter(|message| message.role == "assistant")
        .filter_map(|message| message.score)
        .collect();
    if !scores.is_empty() {
        let low = scores.iter().filter(|score| **score < 0.5).count();
        found.set("low_confidence_answers", low as f64, scores.len());
        found.set("low_confidence_rate", low as f64 / scores.len() as f64, scores.len());
    }
}

/// Compares every number of a report, except those about people, with what is counted here.
#[track_caller]
fn compare(env: &TestEnvironment, agents: &[Agent]) {
    let found = summary(&report_folder(env, &[]));
    let mut together = Vec::new();
    for (agent, source) in agents.iter().zip(&env.sources) {
        let expected: Vec<_> = agent.expected().collect();
        check(&found, source, &counted(&expected));
        together.extend(expected);
    }
    let all = counted(&together);
    for metric in ["conversations", "messages", "unanswered", "single_message_rate", "response_seconds_p90"] {
        assert_eq!(found[&(String::new(), metric.to_owned())], all.numbers[metric], "all: {metric}");
    }
}

#[track_caller]
fn check(found: &BTreeMap<(String, String), (f64, u64)>, source: &str, counted: &Counted) {
    let of_people = |metric: &str| metric.contains("people");
    let own: BTreeMap<_, _> = found
        .iter()
        .filter(|((of, metric), _)| of == source && !of_people(metric))
        .map(|((_, metric), number)| (metric.clone(), *number))
        .collect();
    let names: BTreeSet<_> = own.keys().collect();
    let expected: BTreeSet<_> = counted.numbers.keys().collect();
    assert_eq!(names, expected, "{source}");
    for (metric, (value, basis)) in &counted.numbers {
        let (found, found_basis) = own[metric];
        assert!((found - value).abs() < 1e-9, "{source}: {metric} is {value}, and the report says {found}");
        assert_eq!(found_basis, *basis, "{source}: the basis of {metric}");
    }
}

#[test]
fn every_number_of_the_sample_is_right() {
    let agents: Vec<_> = VENDORS.map(sample).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    env.expect(0, &["pull"]);
    compare(&env, &agents);
}

#[test]
fn every_number_of_a_thousand_conversations_of_each_vendor_is_right() {
    let agents: Vec<_> = VENDORS.map(|vendor| agent(vendor, 1_000)).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    env.expect(0, &["pull"]);
    compare(&env, &agents);
}

#[test]
fn the_volume_is_right_by_day_week_and_month_and_adds_up() {
    let agents: Vec<_> = VENDORS.map(sample).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    env.expect(0, &["pull"]);
    let found = rows(&report_folder(&env, &[]), "volume.csv");
    let mut days: BTreeMap<(String, String, String, String), f64> = BTreeMap::new();
    for (agent, source) in agents.iter().zip(&env.sources) {
        for expected in agent.expected() {
            let day = |at: Option<i64>| at.map_or("undated".to_owned(), |at| rfc3339(at)[..10].to_owned());
            let channel = expected.channel.unwrap_or("unknown").to_owned();
            let mut add = |day: String, metric: &str| {
                *days.entry((day, source.clone(), channel.clone(), metric.to_owned())).or_default() += 1.0;
            };
            add(day(expected.created_at), "conversations");
            for message in &expected.messages {
                add(day(message.created_at.or(expected.created_at)), "messages");
            }
        }
    }
    let is_day = |period: &str| period.len() == 10 || period == "undated";
    let mut by_day: BTreeMap<_, f64> = BTreeMap::new();
    let mut sums: BTreeMap<(usize, String), f64> = BTreeMap::new();
    for row in &found {
        let value: f64 = row["value"].parse().unwrap();
        let width = row["period"].len();
        *sums.entry((width, row["metric"].clone())).or_default() += value;
        if is_day(&row["period"]) {
            let key =
                (row["period"].clone(), row["source"].clone(), row["channel"].clone(), row["metric"].clone());
            *by_day.entry(key).or_default() += value;
        }
    }
    assert_eq!(by_day, days);
    for metric in ["conversations", "messages"] {
        let sum = |width: usize| sums[&(width, metric.to_owned())];
        // Days such as 2026-09-21, weeks such as 2026-W39, months such as 2026-09.
        assert_eq!((sum(8), sum(7)), (sum(10), sum(10)), "{metric}");
    }
    let columns: BTreeSet<_> = found[0].keys().map(String::as_str).collect();
    let base = ["period", "source", "provider", "channel", "metric", "value", "basis", "status"];
    assert_eq!(columns, base.into());
}

/// A conversation of one question, and one answer after some seconds.
fn question_and_answer(id: &str, at: i64, question: &str, answer_after: Option<i64>) -> Conversation {
    let mut conversation = api_conversation(id, "nobody", at, 0);
    conversation.contact = Contact::default();
    let message = |role, after: i64, text: &str| Message {
        id: Some(format!("{id}-{after}")),
        created_at: Some(at + after),
        ..Message::text(role, text)
    };
    conversation.messages.push(message(Role::User, 0, question));
    conversation.messages.extend(answer_after.map(|after| message(Role::Assistant, after, "An answer.")));
    conversation
}

/// 2026-10-24T22:30:00Z is Sunday, 25 October, 00:30 in Berlin, where clocks go back three hours later.
const SATURDAY_NIGHT: i64 = 1_792_881_000;

#[test]
fn days_and_hours_are_those_of_the_time_zone() {
    let conversations = vec![
        question_and_answer("before", SATURDAY_NIGHT, "Hello?", Some(5)),
        question_and_answer("after", SATURDAY_NIGHT + 4 * 3_600, "Hello?", Some(5)),
    ];
    let env = TestEnvironment::of(vec![agent_with(Vendor::ChatbaseV2, conversations)]);
    env.expect(0, &["pull"]);
    let hours = |zone: &str| -> BTreeSet<(String, String)> {
        let found = rows(&report_folder(&env, &["--timezone", zone, "--by", "day"]), "hours.csv");
        found.iter().map(|row| (row["weekday"].clone(), row["hour"].clone())).collect()
    };
    let at = |weekday: &str, hour: &str| (weekday.to_owned(), hour.to_owned());
    assert_eq!(hours("UTC"), [at("6", "22"), at("7", "2")].into());
    // Half past midnight in summer time; four hours later it is half past three in winter time.
    assert_eq!(hours("Europe/Berlin"), [at("7", "0"), at("7", "3")].into());
    let days: BTreeSet<_> = rows(&report_folder(&env, &["--timezone", "Europe/Berlin"]), "volume.csv")
        .iter()
        .map(|row| row["period"].clone())
        .collect();
    assert_eq!(days, ["2026-10-25", "2026-W43", "2026-10"].map(str::to_owned).into());
    env.expect(2, &["report", "--timezone", "Berlin"]);
}

#[test]
fn questions_that_say_the_same_are_one() {
    let asks = [
        ("Where's my order?", Some(1)),
        ("wheres   MY order", Some(1)),
        ("Where’s my order!!", None),
        ("Größe 42?", None),
        ("größe 42", None),
        ("👍", Some(1)),
    ];
    let conversations = (0..)
        .zip(asks)
        .map(|(at, (text, after))| question_and_answer(&format!("c{at}"), 1_790_000_000 + at, text, after));
    let env = TestEnvironment::of(vec![agent_with(Vendor::ChatbaseV2, conversations.collect())]);
    env.expect(0, &["pull"]);
    let found = rows(&report_folder(&env, &[]), "questions.csv");
    let of = |metric: &str| -> Vec<(String, String)> {
        let own = found.iter().filter(|row| row["metric"] == metric && row["source"].is_empty());
        own.map(|row| (row["question"].clone(), row["value"].clone())).collect()
    };
    let times = |question: &str, times: &str| (question.to_owned(), times.to_owned());
    assert_eq!(of("first_questions"), [times("wheres my order", "3"), times("größe 42", "2")]);
    assert_eq!(of("unanswered_questions"), [times("größe 42", "2"), times("wheres my order", "1")]);
}

fn conversation_of_person(id: &str, at: i64, email: Option<&str>, phone: Option<&str>) -> Conversation {
    let contact =
        Contact { email: email.map(str::to_owned), phone: phone.map(str::to_owned), ..Contact::default() };
    Conversation { contact, ..question_and_answer(id, at, "Hello?", Some(1)) }
}

#[test]
fn one_person_across_vendors_is_one_person() {
    let start = 1_790_000_000;
    let old = agent_with(
        Vendor::ChatbaseV1,
        vec![
            conversation_of_person("jane-1", start, Some("Jane@Example.com"), Some("+49 151 234567")),
            conversation_of_person("jane-2", start + 86_400, None, Some("0049151234567")),
            conversation_of_person("max", start, Some("max@example.com"), None),
            question_and_answer("nobody", start, "Hello?", None),
        ],
    );
    let new = agent_with(
        Vendor::ConvocoreV3,
        vec![
            conversation_of_person("jane-3", start + 172_800, Some(" jane@example.com"), None),
            conversation_of_person("ada", start + 172_800, None, Some("+43 660 1234567")),
        ],
    );
    let agents = vec![old, new];
    let env = TestEnvironment::of_world(World::of(agents));
    env.expect(0, &["pull"]);
    let numbers = |arguments: &[&str]| -> BTreeMap<(String, String), f64> {
        let found = summary(&report_folder(&env, arguments));
        found
            .into_iter()
            .filter(|((_, metric), _)| metric.contains("people"))
            .map(|(key, (value, _))| (key, value))
            .collect()
    };
    let found = numbers(&[]);
    let of = |found: &BTreeMap<(String, String), f64>, source: &str| -> Vec<f64> {
        ["people", "new_people", "known_people", "returning_people"]
            .map(|metric| found[&(source.to_owned(), metric.to_owned())])
            .into()
    };
    assert_eq!(of(&found, "source-1"), [2.0, 2.0, 0.0, 1.0]);
    // Convocore gives every conversation the id of whoever wrote; Jane is known from the old bot.
    assert_eq!(of(&found, "source-2"), [2.0, 1.0, 1.0, 0.0]);
    assert_eq!(of(&found, ""), [3.0, 3.0, 0.0, 1.0]);
    assert_eq!(found.get(&(String::new(), "people_across_vendors".to_owned())), Some(&1.0));
    let later = numbers(&["--since", &rfc3339(start + 100_000)]);
    assert_eq!(of(&later, ""), [2.0, 1.0, 1.0, 0.0], "Jane wrote before the window begins");
}

#[test]
fn tool_calls_are_counted_by_name_and_status() {
    let call = |id: &str, name: &str| Content::ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        input: json!({}),
    };
    let result = |id: &str, name: &str, status| Content::ToolResult {
        id: id.to_owned(),
        name: name.to_owned(),
        status,
        data: None,
        error: None,
    };
    let mut conversation = question_and_answer("tools", 1_790_000_000, "Hello?", Some(2));
    conversation.messages[1].content.extend([
        call("1", "orders"),
        result("1", "orders", ToolStatus::Success),
        call("2", "orders"),
        result("2", "orders", ToolStatus::Error),
        call("3", "stock"),
        result("9", "stock", ToolStatus::Success),
    ]);
    let env = TestEnvironment::of(vec![agent_with(Vendor::ChatbaseV2, vec![conversation])]);
    env.expect(0, &["pull"]);
    let found: BTreeSet<_> = rows(&report_folder(&env, &[]), "tools.csv")
        .iter()
        .map(|row| format!("{} {} {} of {}", row["tool"], row["tool_status"], row["value"], row["basis"]))
        .collect();
    let expect =
        ["orders error 1 of 4", "orders success 1 of 4", "stock no-result 1 of 4", "stock success 1 of 4"];
    assert_eq!(found, expect.map(str::to_owned).into());
}

#[test]
fn what_a_vendor_does_not_provide_is_not_available_and_never_zero() {
    let agents: Vec<_> = VENDORS.map(|vendor| agent(vendor, 60)).into();
    let env = TestEnvironment::of_world(World::of(agents));
    env.expect(0, &["pull"]);
    let folder = report_folder(&env, &[]);
    let missing: Vec<_> = rows(&folder, "not_available.csv");
    let has = |source: &str, metric: &str| {
        missing.iter().any(|row| {
            row["source"] == source && row["metric"].starts_with(metric) && !row["reason"].is_empty()
        })
    };
    assert!(has("source-1", "first response") && has("source-1", "contained"), "{missing:?}");
    assert!(has("source-3", "confidence") && !has("source-2", "contained"), "{missing:?}");
    for file in ["summary.csv", "outcome.csv", "speed.csv"] {
        let of_v1 = rows(&folder, file).into_iter().filter(|row| row["source"] == "source-1");
        for row in of_v1 {
            let metric = &row["metric"];
            assert!(!metric.starts_with("handed_over") && !metric.contains("response"), "{file}: {row:?}");
        }
    }
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("not available") && page.contains("no message has a time"));
}

#[test]
fn the_page_is_one_file_that_never_runs_message_text() {
    let wicked = "<script>alert(1)</script><img src=x onerror=alert(2)>";
    let mut conversation = question_and_answer("wicked", 1_790_000_000, wicked, None);
    conversation.messages[0].content.push(Content::ToolCall {
        id: "1".to_owned(),
        name: "<b onclick='x'>tool</b>".to_owned(),
        input: json!({}),
    });
    let env = TestEnvironment::of(vec![agent_with(Vendor::ChatbaseV2, vec![conversation])]);
    env.expect(0, &["pull"]);
    let page = fs::read_to_string(report_folder(&env, &[]).join("report.html")).unwrap();
    assert!(
        page.contains("&lt;b onclick=&#39;x&#39;&gt;tool&lt;/b&gt;"),
        "the name of the tool is shown as text"
    );
    for forbidden in ["<script", "<img", "<b on", "http://", "https://", "src=", "url(", "@import"] {
        assert!(!page.contains(forbidden), "{forbidden} is in the page");
    }
    assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme: dark"));
    assert!(page.contains("@media print") && page.contains("width=device-width"));
}

#[test]
fn the_description_names_every_column_of_every_file() {
    let agents: Vec<_> = VENDORS.map(|vendor| agent(vendor, 30)).into();
    let env = TestEnvironment::of_world(World::of(agents));
    env.expect(0, &["export"]);
    for folder in [report_folder(&env, &[]), env.path("export")] {
        let package: Value =
            serde_json::from_slice(&fs::read(folder.join("datapackage.json")).unwrap()).unwrap();
        let mut described = BTreeSet::new();
        for resource in package["resources"].as_array().unwrap() {
            let path = resource["path"].as_str().unwrap();
            described.insert(path.to_owned());
            let fields = resource["schema"]["fields"].as_array().unwrap();
            let names: Vec<_> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
            let header = csv::Reader::from_path(folder.join(path)).unwrap().headers().unwrap().clone();
            assert_eq!(header.iter().collect::<Vec<_>>(), names, "{path}");
            assert!(fields.iter().all(|field| !field["description"].as_str().unwrap().is_empty()));
        }
        let written: BTreeSet<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "csv"))
            .collect();
        assert_eq!(described, written);
    }
}

#[test]
fn two_bots_are_compared_by_what_both_provide() {
    let talk = |prefix: &str, number: usize, answer: Option<i64>| -> Vec<Conversation> {
        let one = |at: usize| {
            let begun = 1_790_000_000 + i64::try_from(at).unwrap() * 60;
            // Without an answer time, every second question stays unanswered.
            let answer = answer.or(at.is_multiple_of(2).then_some(20));
            question_and_answer(
                &format!("{prefix}-{at}"),
                begun,
                "Hello?",
                answer.map(|after| after + i64::try_from(at % 3).unwrap()),
            )
        };
        (0..number).map(one).collect()
    };
    let old = Agent { id: "old".to_owned(), ..agent_with(Vendor::ChatbaseV2, talk("old", 100, None)) };
    let new = Agent { id: "new".to_owned(), ..agent_with(Vendor::ChatbaseV2, talk("new", 100, Some(5))) };
    let env = TestEnvironment::of(vec![old, new]);
    env.expect(0, &["pull"]);
    let run = env.expect(0, &["report", "compare", "--a", "source-1", "--b", "source-2", "--json"]).json();
    let of = |metric: &str| {
        run["metrics"].as_array().unwrap().iter().find(|found| found["metric"] == metric).unwrap().clone()
    };
    let unanswered = of("unanswered_rate");
    assert_eq!(
        (&unanswered["a"], &unanswered["b"], &unanswered["verdict"]),
        (&json!(0.5), &json!(0.0), &json!("better"))
    );
    assert_eq!((&unanswered["a_basis"], &unanswered["difference"]), (&json!(100), &json!(-0.5)));
    let speed = of("response_seconds");
    assert_eq!((speed["verdict"].as_str(), speed["a_basis"].as_u64()), (Some("better"), Some(50)));
    assert_eq!(of("low_confidence_rate")["verdict"], "not-available");
    assert_eq!(of("contained_rate")["verdict"], "no-difference-shown");
    let shown = env.expect(0, &["report", "compare", "--a", "source-2", "--b", "source-1"]).stdout;
    assert!(shown.contains("worse") && shown.contains("95 % interval"), "{shown}");
    let run = env.expect(2, &["report", "compare", "--a", "source-1", "--b", "source-1"]);
    assert!(run.stderr.contains("itself"), "{}", run.stderr);
    env.expect(2, &["report", "compare", "--a", "source-1", "--b", "nobody"]);
    env.expect(2, &["report", "compare", "--a", "source-1"]);
}

#[test]
fn a_report_contacts_no_vendor_and_does_not_change_the_archive() {
    let mut env = TestEnvironment::sample();
    env.expect(0, &["pull"]);
    let before = fs::read(env.path("chatark.db")).unwrap();
    env.stop_sandbox();
    let run = env.expect(0, &["report", "--json"]).json();
    assert_eq!(run["files"].as_array().unwrap().len(), 13);
    assert_eq!(run["summary"]["sources"].as_array().unwrap().len(), 3);
    assert_eq!(fs::read(env.path("chatark.db")).unwrap(), before);
    let text = env.expect(0, &["report"]).stdout;
    for words in ["contained by the bot", "source-2", "not available", "█"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
}

#[test]
fn impossible_reports_fail_with_one_clear_line() {
    let empty = agent_with(Vendor::ChatbaseV2, Vec::new());
    let env = TestEnvironment::of(vec![empty, agent(Vendor::ChatbaseV1, 3)]);
    let one_line = |run: &chatark_tests::Run| {
        assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    };
    one_line(&env.expect(2, &["report"]));
    env.expect(0, &["pull"]);
    for arguments in [
        &["report", "source-1"][..],
        &["report", "nobody"],
        &["report", "--since", "2026-02-01", "--until", "2026-01-01"],
        &["report", "--since", "2090-01-01"],
    ] {
        one_line(&env.expect(2, arguments));
        assert!(!env.path("report").exists(), "{arguments:?}: a report of nothing was written");
    }
    env.expect(0, &["report", "source-2"]);
}

/// A conversation without a date is in no window of dates; how many are left out is said and counted.
#[test]
fn conversations_without_a_date_are_left_out_of_a_window_and_counted() {
    let agent = agent(Vendor::ChatbaseV1, 10);
    let env = TestEnvironment::of(vec![agent.clone()]);
    for at in 0..3 {
        let id = agent.dataset.conversation(at).id;
        let record = json!({ "id": id, "messages": [{ "role": "user", "content": "Hello?" }] });
        env.sandbox().update(&agent.id, |dataset| dataset.override_raw(&id, record.to_string()));
    }
    // Everything that has a date is inside.
    let since = ["--since", "2001-01-01"];
    env.expect(0, &["pull", since[0], since[1]]);
    assert_eq!(
        archived(&env).len(),
        10,
        "a pull keeps what has no date, and so does an export of everything"
    );
    let said = "3 without a date are left out; `--undated` takes them in";
    let commands: [(&[&str], &str); 5] = [
        (&["export", "--offline", "--output", "files"], "/manifest/conversations"),
        (&["export", "--output", "pulled"], "/manifest/conversations"),
        (&["report"], ""),
        (&["migrate", "plan", "--to", "vcon"], "/conversations"),
        (&["migrate", "run", "--to", "vcon"], "/conversations"),
    ];
    // A report counts in a row of its summary.
    let conversations_of_report = |result: &Value| {
        let rows = result["summary"]["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["metric"] == "conversations" && row["source"] == "");
        row.unwrap()["basis"].clone()
    };
    for (command, place) in commands {
        for (more, expect, left_out) in
            [(&since[..], 7, 3), (&[since[0], since[1], "--undated"], 10, 0), (&[], 10, 0)]
        {
            let run = env.expect(0, &[command, more, &["--json"]].concat());
            let result = run.json();
            let count = if place.is_empty() {
                conversations_of_report(&result)
            } else {
                result.pointer(place).unwrap().clone()
            };
            assert_eq!(count, expect, "{command:?} {more:?}: {result}");
            assert_eq!(run.stderr.contains(said), left_out > 0, "{command:?} {more:?}: {}", run.stderr);
            let counted = &result[if command[0] == "export" { "manifest" } else { "" }];
            let counted = if counted.is_null() { &result } else { counted };
            assert_eq!(counted["undated_left_out"], left_out, "{command:?} {more:?}: {result}");
        }
    }
    let page = fs::read_to_string(env.path("report").join("report.html")).unwrap();
    assert!(!page.contains("left out"));
    env.expect(0, &["report", since[0], since[1]]);
    let page = fs::read_to_string(env.path("report").join("report.html")).unwrap();
    assert!(page.contains("Without a date") && page.contains("3 left out"));
}

#[test]
fn a_comparison_leaves_out_conversations_without_a_date_as_well() {
    let first = agent(Vendor::ChatbaseV1, 4);
    let env = TestEnvironment::of(vec![first.clone(), agent(Vendor::ChatbaseV2, 4)]);
    let id = first.dataset.conversation(0).id;
    let record = json!({ "id": id, "messages": [{ "role": "user", "content": "Hello?" }] });
    env.sandbox().update(&first.id, |dataset| dataset.override_raw(&id, record.to_string()));
    env.expect(0, &["pull"]);
    let compare = ["report", "compare", "--a", "source-1", "--b", "source-2", "--json"];
    for (more, left_out) in
        [(&["--since", "2001-01-01"][..], 1), (&["--since", "2001-01-01", "--undated"], 0), (&[], 0)]
    {
        let run = env.expect(0, &[&compare[..], more].concat());
        assert_eq!(run.json()["undated_left_out"], left_out, "{more:?}");
        assert_eq!(run.stderr.contains("1 without a date is left out"), left_out > 0, "{}", run.stderr);
    }
}

/// Conversations without a date are counted, separately from those of a day.
#[test]
fn a_source_without_dates_is_reported_without_them() {
    let agent = agent(Vendor::ChatbaseV1, 4);
    let env = TestEnvironment::of(vec![agent.clone()]);
    for at in 0..4 {
        let id = agent.dataset.conversation(at).id;
        let record = json!({ "id": id, "messages": [{ "role": "user", "content": "Hello?" }] });
        env.sandbox().update(&agent.id, |dataset| dataset.override_raw(&id, record.to_string()));
    }
    env.expect(0, &["pull"]);
    let folder = report_folder(&env, &[]);
    let volume = rows(&folder, "volume.csv");
    assert!(volume.iter().all(|row| row["period"] == "undated"), "{volume:?}");
    let conversations = ("source-1".to_owned(), "conversations".to_owned());
    assert_eq!(summary(&folder).get(&conversations), Some(&(4.0, 4)));
    assert!(
        rows(&folder, "not_available.csv").iter().any(|row| row["reason"] == "no conversation has a date")
    );
    assert_eq!(provider(current_agent(&env, &agent).vendor), volume[0]["provider"]);
}
