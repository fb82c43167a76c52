//! Migrations into files, compared with the sandbox's data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;

use chatark_sandbox::truth::{Contact, Conversation};
use chatark_sandbox::{Agent, Expected, ExpectedMessage, Vendor, World};
use chatark_tests::{TestEnvironment, repository};
use serde_json::{Value, json};

use crate::support::{VENDORS, agent, agent_with, api_conversation, archived, ids, rfc3339};

/// Pulls the samples of all vendors.
fn pulled_environment() -> TestEnvironment {
    let env = TestEnvironment::sample();
    env.expect(0, &["pull"]);
    env
}

fn agents() -> Vec<Agent> {
    World::sample().agents
}

/// Returns every conversation that was expected, with the name of its source.
fn expected(env: &TestEnvironment) -> Vec<(String, Expected)> {
    let agents = agents();
    let named = agents.iter().zip(&env.sources);
    named
        .flat_map(|(agent, source)| agent.expected().map(move |expected| (source.clone(), expected)))
        .collect()
}

fn json_lines(env: &TestEnvironment, target: &str, name: &str) -> Vec<Value> {
    env.expect(0, &["migrate", "run", "--to", target, "--output", target]);
    let text = fs::read_to_string(env.path(target).join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rows(env: &TestEnvironment, target: &str, name: &str) -> Vec<BTreeMap<String, String>> {
    env.expect(0, &["migrate", "run", "--to", target, "--output", target]);
    let mut reader = csv::Reader::from_path(env.path(target).join(name)).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn loss_report(env: &TestEnvironment, target: &str) -> Vec<Value> {
    let plan = env.expect(0, &["migrate", "plan", "--to", target, "--json"]).json();
    plan["losses"].as_array().unwrap().clone()
}

/// Adds up the counts of a field with an outcome in a loss report.
fn loss_count(losses: &[Value], field: &str, fate: &str) -> u64 {
    let of = losses.iter().filter(|loss| loss["field"] == field && loss["fate"] == fate);
    of.map(|loss| loss["count"].as_u64().unwrap()).sum()
}

/// A conversation from which a model can learn: the bot says something in it.
fn has_answer(expected: &Expected) -> bool {
    expected.messages.iter().any(|message| message.role == "assistant" && !message.text.is_empty())
}

#[test]
fn openai_lines_have_every_text_up_to_the_last_answer() {
    let env = pulled_environment();
    let lines = json_lines(&env, "openai-jsonl", "openai.jsonl");
    let taught: Vec<_> = expected(&env).into_iter().filter(|(_, expected)| has_answer(expected)).collect();
    assert_eq!(lines.len(), taught.len());
    let role = |message: &ExpectedMessage| match message.role {
        "human_agent" => "assistant",
        role => role,
    };
    let expect: BTreeSet<_> = taught
        .iter()
        .map(|(_, expected)| {
            let spoken = expected
                .messages
                .iter()
                .filter(|message| matches!(role(message), "user" | "assistant" | "system"));
            let spoken: Vec<_> = spoken.filter(|message| !message.text.is_empty()).collect();
            // Messages after the last answer are left out.
            let last = spoken.iter().rposition(|message| role(message) == "assistant").unwrap();
            spoken[..=last]
                .iter()
                .map(|message| format!("{}: {}", role(message), message.text))
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect();
    let found: BTreeSet<_> = lines
        .iter()
        .map(|line| {
            let messages = line["messages"].as_array().unwrap();
            let spoken =
                messages.iter().filter(|message| message["role"] != "tool" && message["content"].is_string());
            let said = |message: &Value| {
                format!("{}: {}", message["role"].as_str().unwrap(), message["content"].as_str().unwrap())
            };
            assert_eq!(messages.last().unwrap()["role"], "assistant");
            spoken.map(said).collect::<Vec<_>>().join("\n")
        })
        .collect();
    assert_eq!(found, expect);
}

#[test]
fn openai_tool_calls_and_results_come_in_pairs() {
    let env = pulled_environment();
    let mut calls = 0;
    for line in json_lines(&env, "openai-jsonl", "openai.jsonl") {
        let mut open = BTreeSet::new();
        for message in line["messages"].as_array().unwrap() {
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                assert_eq!(
                    (&call["type"], message["role"].as_str()),
                    (&json!("function"), Some("assistant"))
                );
                serde_json::from_str::<Value>(call["function"]["arguments"].as_str().unwrap()).unwrap();
                assert!(open.insert(call["id"].as_str().unwrap().to_owned()));
                calls += 1;
            }
            if message["role"] == "tool" {
                assert!(open.remove(message["tool_call_id"].as_str().unwrap()), "{line}");
                assert!(message["content"].is_string());
            }
        }
        assert!(open.is_empty(), "a call without a result: {line}");
    }
    let losses = loss_report(&env, "openai-jsonl");
    assert!(calls > 0);
    assert_eq!(loss_count(&losses, "part.tool_call", "kept"), calls);
    let expected: u64 = expected(&env)
        .iter()
        .filter(|(_, expected)| has_answer(expected))
        .flat_map(|(_, expected)| &expected.messages)
        .flat_map(|message| &message.part_types)
        .map(|part| u64::from(*part == "tool_call" || *part == "tool_result"))
        .sum();
    let counted = ["part.tool_call", "part.tool_result"]
        .map(|field| loss_count(&losses, field, "kept") + loss_count(&losses, field, "lost"));
    assert_eq!(counted[0] + counted[1], expected);
}

#[test]
fn sharegpt_speakers_alternate_and_the_person_begins() {
    let env = pulled_environment();
    let lines = json_lines(&env, "sharegpt-jsonl", "sharegpt.jsonl");
    assert!(lines.len() > 100);
    let expected: BTreeMap<_, _> = expected(&env)
        .into_iter()
        .map(|(source, expected)| (format!("{source}/{}", expected.id), expected))
        .collect();
    for line in &lines {
        let expected = &expected[line["id"].as_str().unwrap()];
        let turns = line["conversations"].as_array().unwrap();
        let speakers: Vec<_> = turns.iter().map(|turn| turn["from"].as_str().unwrap()).collect();
        assert!(speakers.windows(2).all(|pair| pair[0] != pair[1]), "{speakers:?}");
        assert_eq!(speakers.iter().find(|speaker| **speaker != "system"), Some(&"human"));
        let said = |from: &str| {
            turns
                .iter()
                .filter(|turn| turn["from"] == from)
                .map(|turn| turn["value"].as_str().unwrap())
                .collect::<Vec<_>>()
                .join("\n\n")
        };
        let users =
            expected.messages.iter().filter(|message| message.role == "user" && !message.text.is_empty());
        assert_eq!(
            said("human"),
            users.map(|message| message.text.as_str()).collect::<Vec<_>>().join("\n\n")
        );
    }
}

#[test]
fn every_person_is_one_row() {
    let env = pulled_environment();
    let found = rows(&env, "contacts-csv", "contacts.csv");
    let mut people: BTreeMap<String, u64> = BTreeMap::new();
    for (source, expected) in expected(&env) {
        let contact = &expected.contact;
        let digits = |phone: &String| phone.chars().filter(char::is_ascii_digit).collect::<String>();
        let key = contact
            .email
            .as_ref()
            .map(|email| email.trim().to_lowercase())
            .or_else(|| contact.phone.as_ref().map(|phone| format!("tel:{}", digits(phone))))
            .or_else(|| contact.id.as_ref().map(|id| format!("{source}/{id}")))
            .or_else(|| contact.name.as_ref().map(|_| format!("{source}/conversation/{}", expected.id)));
        if let Some(key) = key {
            *people.entry(key).or_default() += 1;
        }
    }
    let names: BTreeSet<_> = found.iter().map(|row| row["external_id"].clone()).collect();
    assert_eq!(names, people.keys().cloned().collect(), "each person is there once, by a name of its own");
    assert_eq!(found.len(), people.len());
    let conversations: u64 = found.iter().map(|row| row["conversations"].parse::<u64>().unwrap()).sum();
    assert_eq!(conversations, people.values().sum::<u64>());
    for row in found.iter().filter(|row| !row["email"].is_empty()) {
        assert_eq!(row["conversations"].parse::<u64>().unwrap(), people[&row["email"].to_lowercase()]);
    }
}

/// One rule says who is who: an address is a person, a number or an id belongs to the only person it comes with.
#[test]
fn a_report_and_a_migration_count_the_same_people() {
    let conversation_with = |at: usize, (id, email, phone): (&str, &str, &str)| {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let contact =
            Contact { id: given(id), email: given(email), phone: given(phone), ..Contact::default() };
        let began = 1_790_000_000 + i64::try_from(at).unwrap();
        Conversation { contact, ..api_conversation(&format!("c{at:02}"), "u", began, 2) }
    };
    let from_contacts = |contacts: &[(&str, &str, &str)]| {
        contacts.iter().enumerate().map(|(at, contact)| conversation_with(at, *contact)).collect()
    };
    let first = agent_with(
        Vendor::ChatbaseV1,
        from_contacts(&[
            ("7", "ann@example.com", ""),
            ("7", "", ""),
            ("", "Ann@Example.com", "+49 151 234567"),
            ("8", "", "0049 151 234567"),
            ("8", "", ""),
            ("9", "", "+49 151 234567"),
            ("9", "ann@example.com", ""),
            ("9", "", ""),
            ("kiosk", "bob@example.com", ""),
            ("kiosk", "cem@example.com", ""),
            ("kiosk", "", ""),
        ]),
    );
    let second = agent_with(
        Vendor::ConvocoreV3,
        from_contacts(&[
            ("", "bob@example.com ", ""),
            ("", "", "+49 151 234567"),
            ("", "", "+43 660 1234567"),
        ]),
    );
    let env = TestEnvironment::of(vec![first, second]);
    env.expect(0, &["pull"]);
    let migrated: BTreeSet<_> = rows(&env, "contacts-csv", "contacts.csv")
        .into_iter()
        .map(|row| row["external_id"].clone())
        .collect();
    let people =
        ["ann@example.com", "bob@example.com", "cem@example.com", "source-1/kiosk", "tel:436601234567"];
    assert_eq!(migrated, people.map(str::to_owned).into());
    env.expect(0, &["report", "--output", "report"]);
    let mut summary = csv::Reader::from_path(env.path("report/summary.csv")).unwrap();
    let reported: Vec<BTreeMap<String, String>> = summary.deserialize().map(Result::unwrap).collect();
    let total = reported.iter().find(|row| row["source"].is_empty() && row["metric"] == "people").unwrap();
    assert_eq!(total["value"], "5");
}

#[test]
fn each_question_is_one_row_with_its_best_answer() {
    let mut conversations = Vec::new();
    for (at, (question, answer, feedback)) in [
        ("Where is it?", "Here.", None),
        ("where is it", "There.", Some("positive")),
        ("Where is it!", "Nowhere.", Some("negative")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut conversation =
            api_conversation(&format!("c{at}"), "u", 1_790_000_000 + i64::try_from(at).unwrap(), 2);
        conversation.messages[0].content = vec![chatark_sandbox::truth::Content::Text(question.to_owned())];
        conversation.messages[1].content = vec![chatark_sandbox::truth::Content::Text(answer.to_owned())];
        conversation.messages[1].feedback = match feedback {
            Some("positive") => Some(chatark_sandbox::truth::Feedback::Positive),
            Some(_) => Some(chatark_sandbox::truth::Feedback::Negative),
            None => None,
        };
        conversation.messages[1].score = None;
        conversations.push(conversation);
    }
    let env = TestEnvironment::of(vec![agent_with(Vendor::ChatbaseV2, conversations)]);
    env.expect(0, &["pull"]);
    let found = rows(&env, "questions-csv", "questions.csv");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0]["answer"].as_str(), found[0]["feedback"].as_str(), found[0]["asked"].as_str()),
        ("There.", "positive", "2")
    );
    assert_eq!(loss_count(&loss_report(&env, "questions-csv"), "message.role.user", "lost"), 1);
}

#[test]
fn every_vcon_is_valid_and_has_every_message() {
    let env = pulled_environment();
    env.expect(0, &["migrate", "run", "--to", "vcon", "--output", "vcon"]);
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(repository().join("docs/schema/vcon.schema.json")).unwrap())
            .unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let mut found = Vec::new();
    for file in fs::read_dir(env.path("vcon")).unwrap() {
        let path = file.unwrap().path();
        let vcon: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let errors: Vec<_> = validator.iter_errors(&vcon).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        assert_eq!(path.file_stem().unwrap().to_str(), vcon["uuid"].as_str());
        check_indices(&vcon);
        let dialog = vcon["dialog"].as_array().cloned().unwrap_or_default();
        let texts: Vec<_> = dialog.iter().map(|said| said["body"].as_str().unwrap().to_owned()).collect();
        let origin =
            vcon["analysis"].as_array().unwrap().iter().find(|found| found["product"] == "origin").unwrap();
        let origin: Value = serde_json::from_str(origin["body"].as_str().unwrap()).unwrap();
        let id = origin["origin"]["conversation_id"].as_str().unwrap().to_owned();
        found.push((id, texts, vcon["attachments"].as_array().map_or(0, Vec::len)));
    }
    let expected = expected(&env);
    assert_eq!(fs::read_dir(env.path("vcon")).unwrap().count(), expected.len());
    let mut expect: Vec<_> = expected
        .iter()
        .map(|(_, expected)| {
            let texts: Vec<_> = expected.messages.iter().map(|message| message.text.clone()).collect();
            let parts = expected.messages.iter().flat_map(|message| &message.part_types);
            (expected.id.clone(), texts, parts.filter(|part| **part != "text").count())
        })
        .collect();
    found.sort();
    expect.sort();
    assert_eq!(found, expect);
    let names = || -> BTreeSet<_> {
        fs::read_dir(env.path("vcon")).unwrap().map(|file| file.unwrap().file_name()).collect()
    };
    let before = names();
    env.expect(0, &["migrate", "run", "--to", "vcon", "--output", "vcon"]);
    assert_eq!(names(), before, "the same conversation has the same name");
}

/// Parties and dialogs are referred to by their place, which a schema cannot check.
fn check_indices(vcon: &Value) {
    let length = |name: &str| vcon[name].as_array().map_or(0, Vec::len) as u64;
    for said in vcon["dialog"].as_array().into_iter().flatten() {
        assert!(said["parties"][0].as_u64().unwrap() < length("parties"));
    }
    for attached in vcon["attachments"].as_array().into_iter().flatten() {
        assert!(attached["party"].as_u64().unwrap() < length("parties"));
        assert!(attached["dialog"].as_u64().unwrap() < length("dialog"));
        serde_json::from_str::<Value>(attached["body"].as_str().unwrap()).unwrap();
    }
    for analysed in vcon["analysis"].as_array().into_iter().flatten() {
        assert!(analysed.get("dialog").is_none_or(|dialog| dialog.as_u64().unwrap() < length("dialog")));
    }
}

#[test]
fn a_slack_export_has_one_channel_per_source_and_one_thread_per_conversation() {
    let env = pulled_environment();
    env.expect(0, &["migrate", "run", "--to", "slack-zip", "--output", "slack"]);
    let mut zip = zip::ZipArchive::new(fs::File::open(env.path("slack/slack.zip")).unwrap()).unwrap();
    let mut files = BTreeMap::new();
    for at in 0..zip.len() {
        let mut file = zip.by_index(at).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let value: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(files.insert(file.name().to_owned(), value).is_none());
    }
    let users: BTreeSet<_> =
        files["users.json"].iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect();
    let channels: Vec<_> =
        files["channels.json"].iter().map(|channel| channel["name"].as_str().unwrap().to_owned()).collect();
    let mut sources = env.sources.clone();
    sources.sort();
    assert_eq!(channels, sources);
    let mut threads: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (path, posts) in files.iter().filter(|(path, _)| path.contains('/')) {
        let channel = path.split_once('/').unwrap().0.to_owned();
        for post in posts {
            let text = |name: &str| post[name].as_str().unwrap().to_owned();
            assert!(users.contains(&text("user")));
            assert!(seen.insert((channel.clone(), text("ts"))), "two posts at {} in {channel}", text("ts"));
            threads.entry((channel.clone(), text("thread_ts"))).or_default().push(text("text"));
        }
    }
    let mut found: Vec<_> = threads.into_values().map(|posts| posts[1..].to_vec()).collect();
    let mut expect: Vec<Vec<String>> = Vec::new();
    for (_, expected) in expected(&env) {
        expect.push(expected.messages.iter().map(|message| message.text.clone()).collect());
    }
    // Addresses of pictures and files follow the text, in which Slack's own signs are escaped.
    for posts in &mut found {
        for post in posts {
            *post = post.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            let lines: Vec<_> = post.lines().filter(|line| !line.starts_with("http")).collect();
            *post = lines.join("\n");
        }
    }
    for posts in &mut expect {
        for post in posts {
            let lines: Vec<_> = post.lines().filter(|line| !line.starts_with("http")).collect();
            *post = lines.join("\n");
        }
    }
    found.sort();
    expect.sort();
    assert_eq!(found, expect);
}

#[test]
fn a_plan_counts_every_field_and_writes_nothing() {
    let env = pulled_environment();
    let before: BTreeSet<_> =
        fs::read_dir(env.path(".")).unwrap().map(|file| file.unwrap().file_name()).collect();
    let plan = env.expect(0, &["migrate", "plan", "--to", "vcon", "--json"]).json();
    let after: BTreeSet<_> =
        fs::read_dir(env.path(".")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(before, after);
    let expected = expected(&env);
    let messages = || expected.iter().flat_map(|(_, expected)| &expected.messages);
    assert_eq!(
        (&plan["conversations"], &plan["messages"]),
        (&json!(expected.len()), &json!(messages().count()))
    );
    let losses = plan["losses"].as_array().unwrap();
    let total =
        |field: &str| ["kept", "lost"].map(|fate| loss_count(losses, field, fate)).iter().sum::<u64>();
    for (field, count) in [
        ("conversation.title", expected.iter().filter(|(_, expected)| expected.title.is_some()).count()),
        ("conversation.tags", expected.iter().filter(|(_, expected)| !expected.tags.is_empty()).count()),
        ("contact.email", expected.iter().filter(|(_, expected)| expected.contact.email.is_some()).count()),
        ("message.score", messages().filter(|message| message.score.is_some()).count()),
        ("message.created_at", messages().filter(|message| message.created_at.is_some()).count()),
        ("message.role.user", messages().filter(|message| message.role == "user").count()),
        (
            "part.image",
            messages().flat_map(|message| &message.part_types).filter(|part| **part == "image").count(),
        ),
    ] {
        assert_eq!(total(field), count as u64, "{field}");
    }
    assert_eq!(loss_count(losses, "conversation.tags", "kept"), 0, "a vCon has no place for them");
    let csv = env.path("loss.csv");
    env.expect(0, &["migrate", "plan", "--to", "vcon", "--loss-csv", csv.to_str().unwrap()]);
    let mut reader = csv::Reader::from_path(csv).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["field", "fate", "count", "example", "why"]);
    assert_eq!(reader.records().count(), losses.len());
}

#[test]
fn filters_and_a_sample_select_conversations() {
    let env = pulled_environment();
    let count = |arguments: &[&str]| {
        let plan =
            env.expect(0, &[&["migrate", "plan", "--to", "vcon", "--json"], arguments].concat()).json();
        plan["conversations"].as_u64().unwrap()
    };
    let expected = expected(&env);
    let matching = |picks: &dyn Fn(&Expected) -> bool| {
        expected.iter().filter(|(_, expected)| picks(expected)).count() as u64
    };
    assert_eq!(
        count(&["--status", "taken_over"]),
        matching(&|expected| expected.status == Some("taken_over"))
    );
    assert_eq!(count(&["--channel", "whatsapp"]), matching(&|expected| expected.channel == Some("whatsapp")));
    assert_eq!(count(&["--min-messages", "6"]), matching(&|expected| expected.messages.len() >= 6));
    let tag = expected.iter().find_map(|(_, expected)| expected.tags.first()).unwrap();
    assert_eq!(count(&["--tag", tag]), matching(&|expected| expected.tags.contains(tag)));
    let is_positive = |expected: &Expected| {
        let answers: Vec<_> = expected.messages.iter().filter_map(|message| message.feedback).collect();
        expected.feedback.map_or(
            !answers.is_empty() && answers.iter().all(|feedback| *feedback == "positive"),
            |feedback| feedback == "positive",
        )
    };
    assert_eq!(count(&["--feedback", "positive"]), matching(&is_positive));
    let middle = expected[expected.len() / 2].1.created_at.unwrap();
    assert_eq!(
        count(&["--since", &rfc3339(middle)]),
        matching(&|expected| expected.created_at.is_none_or(|at| at >= middle))
    );
    assert_eq!(count(&["--sample", "7"]), 7);
    assert_eq!(
        count(&["--from", &env.sources[0], "--sample", "1000"]),
        agents()[0].expected().count() as u64
    );
}

#[test]
fn impossible_migrations_fail_with_one_clear_line() {
    let env = pulled_environment();
    for (arguments, words) in [
        (vec!["migrate", "plan", "--to", "teams"], "the formats are openai-jsonl"),
        (vec!["migrate", "plan", "--to", "vcon", "--from", "nobody"], "nobody"),
        (
            vec!["migrate", "run", "--to", "vcon", "--tag", "no such tag"],
            "no conversation of the archive is selected",
        ),
        (vec!["migrate", "plan", "--to", "vcon", "--status", "gone"], "the statuses are"),
        (vec!["migrate", "plan", "--to", "vcon", "--loss-csv", "/"], "is not a file name"),
    ] {
        let run = env.expect(2, &arguments);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    assert!(!env.path("migration").exists(), "a run of nothing leaves nothing");
}

/// No vendor is contacted, and the archive does not change.
#[test]
fn files_are_written_offline() {
    let generated = agent(Vendor::ChatbaseV2, 60);
    let mut env = TestEnvironment::of(vec![generated]);
    env.expect(0, &["pull"]);
    let before = ids(&archived(&env));
    env.stop_sandbox();
    for target in ["openai-jsonl", "sharegpt-jsonl", "contacts-csv", "questions-csv", "vcon", "slack-zip"] {
        env.expect(0, &["migrate", "run", "--to", target, "--output", target]);
    }
    assert_eq!(ids(&archived(&env)), before);
    assert_eq!(VENDORS.len(), 3);
}
