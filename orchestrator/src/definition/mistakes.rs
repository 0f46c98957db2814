//! Every mistake that validation finds, with its line, as a table: what stands behind `#!` is what must be said
//! of that line, and nothing else may be said of the document. The table in `docs/definitions.md` is made of it.

use super::{Attempts, Definition, Mistake, parse, tree};
use crate::{
    action::{Answer, Call, ExternalAction, Halt, LocalAction, Notebook, Probe, Probed, Registry},
    demo,
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use std::time::Duration;

/// A mistake, and a document that has it.
const TABLE: [(&str, &str); 36] = [
    ("something that is not YAML", "saga: [ #! not readable as YAML\n"),
    (
        "an anchor, an alias or a merge key",
        "saga: a\nsteps:\n  - step: &name b #! anchors and aliases are not allowed\n    action: demo.echo\n  - *name\n",
    ),
    ("two documents in one", "saga: a\nsteps: [{ step: b, action: demo.echo }]\n--- #! a second document begins; one at a time\nsaga: b\n"),
    (
        "a key that is given twice, at any level",
        "saga: a\nsteps:\n  - step: b\n    action: demo.echo\n    action: demo.echo #! `action` is given twice; the first is in line 4\n",
    ),
    ("a text that Postgres cannot store", "saga: a\nsteps:\n  - step: b\n    action: demo.echo\n    input: { x: \"a\\0b\" } #! a text contains the character U+0000\n"),
    ("a document that is not a mapping", "- saga #! the document must be a mapping, not a list\n"),
    (
        "an unknown field, at any level",
        "saga: a\nversion: 1 #! unknown field `version` in the document; it has `saga`, `input`, `deadline`, `steps`
steps:
  - step: b
    action: demo.echo
    timout: 1s #! unknown field `timout` in step `b`; did you mean `timeout`?
    retry: { attempt: 5 } #! unknown field `attempt` in the retry of step `b`; did you mean `attempts`?
    compensation: { action: demo.undo, input: {} } #! unknown field `input` in the compensation of step `b`; it has `action`, `timeout`, `retry`
",
    ),
    (
        "a missing field",
        "input: {} #! the document needs `saga`
steps:
  - action: demo.echo #! step 1 needs `step`
    compensation: { timeout: 1s } #! the compensation of step 1 needs `action`
  - step: c #! step `c` needs `action`
",
    ),
    ("no `steps`", "saga: a #! the document needs `steps`\n"),
    ("no steps", "saga: a\nsteps: [] #! a saga needs at least one step\n"),
    (
        "a wrong type",
        "saga: 1 #! `saga` must be a name, not a number
input: [] #! `input` must be a JSON Schema, not a list
deadline: 5 #! `deadline` must be a duration such as `10s`, not a number
steps:
  - seats.hold #! step 1 must be a mapping, not a text
  - step: b
    action: #! `action` must be an action's name, not nothing
    pivot: 1 #! `pivot` must be true or false, not a number
    input: [] #! `input` must be a mapping of names to literals or paths, not a list
    retry: 5 #! `retry` must be a mapping with `attempts` and `backoff`, not a number
",
    ),
    (
        "a name that is none",
        "saga: Book_Tickets #! `Book_Tickets` is not a name; a name begins with a small letter and has small letters, digits and dashes, 63 at most\nsteps: [{ step: b, action: demo.echo }]\n",
    ),
    (
        "a bad duration",
        "saga: a
deadline: 1d #! `1d` is not a duration; write a whole number and ms, s, m or h, as in `100ms` or `15m`
steps:
  - step: b
    action: demo.echo
    timeout: 0s #! `0s` is no time at all
    compensation:
      action: demo.undo
      timeout: 9999h #! `9999h` is longer than 8784h
",
    ),
    (
        "a bad backoff",
        "saga: a\nsteps:\n  - step: b\n    action: demo.echo\n    retry:\n      backoff: 5s..1s #! the backoff `5s..1s` goes down; write the shorter wait first
    compensation:\n      action: demo.undo\n      retry: { backoff: 5s } #! `5s` is not a backoff; write two durations, as in `100ms..5s`\n",
    ),
    (
        "bad attempts",
        "saga: a\nsteps:\n  - step: b\n    action: demo.echo\n    retry: { attempts: 0 } #! 0 attempts; from 1 to 10000, or `forever`
    compensation:\n      action: demo.undo\n      retry: { attempts: often } #! `attempts` must be a number or `forever`, not `often`
  - step: c\n    action: demo.echo\n    retry: { attempts: 1.5 } #! `attempts` must be a whole number from 1 or `forever`, not 1.5\n",
    ),
    (
        "an unknown action, compensation or probe",
        "saga: a\nsteps:\n  - step: b\n    action: seats.hodl #! unknown action `seats.hodl`; did you mean `seats.hold`?
    compensation: seats.relase #! unknown compensation `seats.relase`; did you mean `seats.release`?
    probe: seats.hold2 #! unknown probe `seats.hold2`\n",
    ),
    (
        "a probe that is used as an action, or an action as a probe",
        "saga: a\nsteps:\n  - step: b\n    action: demo.probe #! `demo.probe` is a probe, not an action
    compensation: payments.probe #! `payments.probe` is a probe, not an action
    probe: demo.echo #! `demo.echo` is an action, not a probe\n",
    ),
    (
        "a step before the pivot without a compensation",
        "saga: a\nsteps:\n  - step: b #! step `b` comes before the pivot and has no compensation\n    action: demo.echo\n  - { step: c, action: demo.echo, pivot: true }\n",
    ),
    (
        "without a pivot, a step before the last one without a compensation",
        "saga: a\nsteps:\n  - step: b #! step `b` comes before the pivot and has no compensation\n    action: demo.echo\n  - { step: c, action: demo.echo }\n",
    ),
    (
        "a compensation on the pivot",
        "saga: a\nsteps:\n  - step: b\n    action: demo.echo\n    pivot: true\n    compensation: demo.undo #! step `b` is the pivot: once it is done nothing is taken back, so it has no compensation\n",
    ),
    (
        "a compensation after the pivot",
        "saga: a\nsteps:\n  - { step: b, action: demo.echo, pivot: true }\n  - step: c\n    action: demo.echo\n    compensation: demo.undo #! step `c` comes after the pivot, where nothing is taken back, and has a compensation\n",
    ),
    (
        "a second pivot",
        "saga: a\nsteps:\n  - { step: b, action: demo.echo, pivot: true }\n  - step: c\n    action: demo.echo\n    pivot: true #! step `c` is a second pivot; a saga has one\n",
    ),
    (
        "a limit on attempts after the pivot",
        "saga: a\nsteps:\n  - { step: b, action: demo.echo, pivot: true }\n  - step: c\n    action: demo.echo\n    retry: { attempts: 5 } #! step `c` comes after the pivot, where only `forever` is allowed, and has a limit of 5 attempts\n",
    ),
    (
        "a step that moves money without a probe",
        "saga: a\nsteps:\n  - step: b #! step `b` moves money (`payments.charge`) and has no probe\n    action: payments.charge\n    input: { orderId: o, holdId: h }\n",
    ),
    (
        "two steps with one name",
        "saga: a\nsteps:\n  - { step: b, action: demo.echo, compensation: demo.undo }\n  - step: b #! two steps are called `b`; the first is in line 3\n    action: demo.echo\n",
    ),
    (
        "a timeout that is longer than the deadline",
        "saga: a\ndeadline: 1m\nsteps:\n  - step: b\n    action: demo.echo\n    timeout: 90s #! the timeout of step `b` (90s) is longer than the deadline (1m)\n",
    ),
    (
        "an `input` that is no JSON Schema",
        "saga: a\ninput:\n  type: object\n  properties:\n    x:\n      type: text #! `input` is not a usable JSON Schema\n    y: 5 #! `input` is not a usable JSON Schema\nsteps: [{ step: b, action: demo.echo }]\n",
    ),
    (
        "an `input` that refers to elsewhere",
        "saga: a\ninput: { $ref: 'https://example.org/s.json' } #! `input` is not a usable JSON Schema\nsteps: [{ step: b, action: demo.echo }]\n",
    ),
    (
        "a path that is none",
        "saga: a\nsteps:\n  - { step: hold-seats, action: demo.echo, compensation: demo.undo }\n  - step: b\n    action: demo.echo\n    input:
      x: $.steps.hold-seats.echo #! `$.steps.hold-seats.echo` is not a path
      y: [{ deep: '$.input[' }] #! `$.input[` is not a path\n",
    ),
    (
        "a path that begins elsewhere",
        "saga: a\nsteps:\n  - step: b\n    action: demo.echo\n    input: { x: $.orderId } #! `$.orderId` must begin with `$.input` or `$.steps.` and the name of a step\n",
    ),
    (
        "a path to a step that is unknown or not before this one",
        "saga: a\nsteps:\n  - { step: hold, action: demo.echo, compensation: demo.undo }\n  - step: b\n    action: demo.echo\n    input:
      x: $.steps.holt.echo #! there is no step `holt`; did you mean `hold`?
      y: $.steps.b.echo #! step `b` has no output yet: it is not before this one\n",
    ),
    (
        "a path to what the other step does not give",
        "saga: a\nsteps:\n  - { step: hold, action: seats.hold, input: { orderId: o }, compensation: demo.undo }\n  - step: b\n    action: demo.echo\n    input:
      x: $.steps.hold.holdld #! `$.steps.hold.holdld`: step `hold` gives no `holdld`; did you mean `holdId`?
      y: $.steps.hold.holdId.x #! `$.steps.hold.holdId.x`: step `hold` gives no `x`\n",
    ),
    (
        "a path to what the saga's input does not declare",
        "saga: a\ninput: { type: object, properties: { orderId: { type: string } } }\nsteps:\n  - step: b\n    action: demo.echo\n    input:
      x: $.input.orderld #! `$.input.orderld`: the saga's input declares no `orderld`; did you mean `orderId`?\n",
    ),
    (
        "a name that the action does not know, or one that it needs and does not get",
        "saga: a\nsteps:\n  - step: b\n    action: seats.hold\n    input: #! `seats.hold` needs `orderId`, which `input` does not give
      orderIds: 1 #! `seats.hold` knows no input `orderIds`; did you mean `orderId`?
    compensation: seats.release\n",
    ),
    (
        "without `input`: what the saga's input does not have, or not of the right type",
        "saga: a\ninput: { properties: { orderId: { type: integer } } }\nsteps:\n  - step: b\n    action: payments.charge #! `orderId` of `payments.charge`: the saga's input gives integer, not string #! `payments.charge` needs `holdId`, which the saga's input does not declare
    probe: demo.probe\n",
    ),
    (
        "a literal or a path of the wrong type",
        "saga: a\ninput: { properties: { count: { type: integer } } }\nsteps:\n  - step: b\n    action: seats.hold\n    input:
      orderId: 5 #! `orderId` of `seats.hold`: 5 is not of type \"string\"
      holdId: $.input.count #! `holdId` of `seats.hold`: `$.input.count` gives integer, not null or string\n",
    ),
];

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read by nobody but the schema")]
struct HoldInput {
    order_id: String,
    #[serde(default)]
    hold_id: Option<String>,
}
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read by nobody but the schema")]
struct ChargeInput {
    order_id: String,
    hold_id: String,
}
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HoldOutput {
    hold_id: String,
}

struct Hold;
#[async_trait]
impl LocalAction for Hold {
    const NAME: &'static str = "seats.hold";
    type Input = HoldInput;
    type Output = HoldOutput;
    async fn run(&self, _: &mut PgConnection, _: &Call, _: HoldInput) -> Answer<HoldOutput> {
        Err(Halt::Superseded)
    }
}
struct Release;
#[async_trait]
impl LocalAction for Release {
    const NAME: &'static str = "seats.release";
    type Input = Value;
    type Output = ();
    async fn run(&self, _: &mut PgConnection, _: &Call, _: Value) -> Answer<()> {
        Err(Halt::Superseded)
    }
}
struct Charge;
#[async_trait]
impl ExternalAction for Charge {
    const NAME: &'static str = "payments.charge";
    const MONEY: bool = true;
    type Input = ChargeInput;
    type Output = HoldOutput;
    async fn run(&self, _: &Call, _: &dyn Notebook, _: &Value, _: ChargeInput) -> Answer<HoldOutput> {
        Err(Halt::Superseded)
    }
}
struct Refund;
#[async_trait]
impl ExternalAction for Refund {
    const NAME: &'static str = "payments.refund";
    const MONEY: bool = true;
    type Input = ChargeInput;
    type Output = ();
    async fn run(&self, _: &Call, _: &dyn Notebook, _: &Value, _: ChargeInput) -> Answer<()> {
        Err(Halt::Superseded)
    }
}
struct Ask;
#[async_trait]
impl Probe for Ask {
    const NAME: &'static str = "payments.probe";
    type Input = Value;
    type Output = HoldOutput;
    async fn probe(&self, _: &Call, _: &dyn Notebook, _: Value) -> Answer<Probed<HoldOutput>> {
        Err(Halt::Superseded)
    }
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    demo::register(&mut registry).unwrap();
    registry.local(Hold).unwrap().local(Release).unwrap();
    registry.external(Charge).unwrap().external(Refund).unwrap().probe(Ask).unwrap();
    registry
}

fn mistakes(yaml: &str) -> Vec<Mistake> {
    Definition::read(yaml, &registry()).err().unwrap_or_default()
}

fn expected(yaml: &str) -> Vec<(usize, &str)> {
    let lines = yaml.lines().enumerate();
    lines.flat_map(|(index, line)| line.split("#! ").skip(1).map(move |text| (index + 1, text.trim()))).collect()
}

#[test]
fn every_mistake_is_found_with_its_line_and_no_other() {
    let mut wrong = Vec::new();
    for (title, yaml) in TABLE {
        let found = mistakes(yaml);
        let said: Vec<_> = found.iter().map(|mistake| (mistake.line, mistake.message.as_str())).collect();
        let expected = expected(yaml);
        assert!(!expected.is_empty(), "{title}");
        // What another crate words is compared by its beginning.
        let same = said.len() == expected.len()
            && said
                .iter()
                .zip(&expected)
                .all(|(said, expected)| said.0 == expected.0 && said.1.starts_with(expected.1));
        if !same {
            wrong.push(format!("{title}\nsaid:     {said:#?}\nexpected: {expected:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_documented_table_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/definitions.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- mistakes: made by a test -->\n", "<!-- mistakes: end -->");
    let (before, rest) = document.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let mut table = "| mistake | what is said |\n|---|---|\n".to_owned();
    for (title, yaml) in TABLE {
        let said: Vec<_> = expected(yaml).into_iter().map(|(_, text)| text).collect();
        table.push_str(&format!("| {title} | {} |\n", said.join("<br>")));
    }
    let made = format!("{before}{begin}{table}{end}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path, &made).unwrap();
    }
    assert!(document == made, "docs/definitions.md is behind: run this test with UPDATE_DOCS=1");
}

const BOOK: &str = "saga: book-tickets
input: { type: object, required: [orderId], properties: { orderId: { type: string } } }
deadline: 15m
steps:
  - step: hold
    action: seats.hold
    compensation: seats.release
    timeout: 2s
    retry: { attempts: 5, backoff: 100ms..5s }
  - step: pay
    action: payments.charge
    input: { orderId: $.input.orderId, holdId: $.steps.hold.holdId }
    compensation: { action: payments.refund, timeout: 20s, retry: { attempts: forever } }
    probe: payments.probe
  - step: commit
    action: demo.echo
    pivot: true
  - step: issue
    action: demo.echo
";

#[test]
fn a_document_without_mistakes_gets_its_defaults() {
    let definition = Definition::read(BOOK, &registry()).unwrap();
    let [hold, pay, commit, issue] = definition.steps.as_slice() else { panic!("{definition:?}") };
    let limit = |attempts| match attempts {
        Attempts::Limited(limit) => limit.get(),
        Attempts::Forever => u32::MAX,
    };
    assert_eq!(definition.deadline, Some(Duration::from_secs(900)));
    assert_eq!((hold.timeout, limit(hold.retry.attempts)), (Duration::from_secs(2), 5));
    let release = hold.compensation.as_ref().unwrap();
    assert_eq!((release.timeout, limit(release.retry.attempts)), (Duration::from_secs(10), 20));
    assert_eq!((pay.timeout, limit(pay.retry.attempts)), (Duration::from_secs(10), 5));
    let refund = pay.compensation.as_ref().unwrap();
    assert_eq!((refund.timeout, refund.retry.attempts), (Duration::from_secs(20), Attempts::Forever));
    assert_eq!(refund.retry.backoff_max, Duration::from_secs(300));
    assert_eq!((commit.pivot, limit(commit.retry.attempts)), (true, 5));
    assert_eq!((issue.retry.attempts, issue.retry.backoff_first), (Attempts::Forever, Duration::from_secs(1)));
    let stored = serde_json::to_value(&definition).unwrap();
    assert_eq!(serde_json::from_value::<Definition>(stored).unwrap(), definition);
}

#[test]
fn looks_do_not_change_the_digest() {
    let read = |yaml: &str| Definition::read(yaml, &registry()).unwrap().digest().unwrap();
    let other_looks = BOOK.replace("    timeout: 2s\n", "    timeout: 2000ms # two seconds\n").replace(
        "{ type: object, required: [orderId], properties: { orderId: { type: string } } }",
        "\n  properties:\n    orderId: { 'type': \"string\" }\n  type: object\n  required: [orderId]",
    );
    assert_ne!(other_looks, BOOK);
    assert_eq!(read(&other_looks), read(BOOK));
    assert_ne!(read(&BOOK.replace("15m", "16m")), read(BOOK));
    assert_eq!(read(BOOK).len(), 64);
}

#[test]
fn a_single_step_needs_neither_a_pivot_nor_a_compensation() {
    assert_eq!(mistakes("saga: a\nsteps: [{ step: b, action: demo.echo }]\n"), []);
    assert_eq!(mistakes("saga: a\nsteps: [{ step: b, action: demo.echo, compensation: demo.undo }]\n"), []);
}

#[test]
fn limits_hold() {
    let steps = |count: usize| {
        let one = |index| format!("  - {{ step: s{index}, action: demo.echo, compensation: demo.undo }}\n");
        format!("saga: a\nsteps:\n{}", (0..count).map(one).collect::<String>())
    };
    assert_eq!(mistakes(&steps(parse::STEPS_MAX)), []);
    let too_many = Mistake { line: parse::STEPS_MAX + 3, message: "more than 64 steps".to_owned() };
    assert_eq!(mistakes(&steps(parse::STEPS_MAX + 1)), [too_many]);

    let filled = |bytes: usize| {
        let yaml = "saga: a\nsteps: [{ step: b, action: demo.echo }]\n#";
        format!("{yaml}{}", "x".repeat(bytes - yaml.len()))
    };
    assert_eq!(mistakes(&filled(tree::DOCUMENT_BYTES_MAX)), []);
    assert!(mistakes(&filled(tree::DOCUMENT_BYTES_MAX + 1))[0].message.contains("longer than 65536 bytes"));

    // The document, the steps, the step and the input are four.
    let nested = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth - 4), "]".repeat(depth - 4));
        format!("saga: a\nsteps:\n  - {{ step: b, action: demo.echo, input: {{ x: {value} }} }}\n")
    };
    assert_eq!(mistakes(&nested(tree::DEPTH_MAX)), []);
    assert_eq!(mistakes(&nested(tree::DEPTH_MAX + 1))[0].line, 3);
    assert_eq!(mistakes(&nested(5_000)).len(), 1);
}

#[test]
fn nonsense_is_a_mistake_and_never_a_panic() {
    for yaml in ["", "\0", "~", "a: b: c", "{", "saga: *a", "!!binary x", "? [a]\n: b", "\u{feff}", "%YAML 3.0\n---\n"]
    {
        assert!(!mistakes(yaml).is_empty(), "{yaml:?}");
    }
}

#[test]
fn the_documented_schema_has_the_same_fields() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/definition.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let names = |pointer: &str| {
        let mut names: Vec<_> = schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    let sorted = |fields: &[&str]| {
        let mut fields: Vec<_> = fields.iter().map(ToString::to_string).collect();
        fields.sort();
        fields
    };
    assert_eq!(names("/properties"), sorted(&parse::SAGA_FIELDS));
    assert_eq!(names("/$defs/step/properties"), sorted(&parse::STEP_FIELDS));
    assert_eq!(names("/$defs/compensation/properties"), sorted(&parse::COMPENSATION_FIELDS));
    assert_eq!(names("/$defs/retry/properties"), sorted(&parse::RETRY_FIELDS));
    assert_eq!(schema.pointer("/properties/steps/maxItems"), Some(&Value::from(parse::STEPS_MAX)));
}
