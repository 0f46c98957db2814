//! From the tree to a draft: a definition whose every part still knows its line and may be missing.

use super::{
    Attempts, Compensation, Definition, Mistake, Retry, Step,
    tree::{Entry, Kind, Node},
    units,
};
use serde_json::Value;
use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

/// The most steps of a definition.
pub(crate) const STEPS_MAX: usize = 64;

pub(super) const SAGA_FIELDS: [&str; 4] = ["saga", "input", "deadline", "steps"];
pub(super) const STEP_FIELDS: [&str; 8] =
    ["step", "action", "input", "compensation", "probe", "pivot", "timeout", "retry"];
pub(super) const COMPENSATION_FIELDS: [&str; 3] = ["action", "timeout", "retry"];
pub(super) const RETRY_FIELDS: [&str; 2] = ["attempts", "backoff"];

/// The timeout of an action or a compensation that names none; a shorter deadline shortens it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// What follows a transient failure up to the pivot.
const RETRY_BEFORE: Retry = retry(5, Duration::from_millis(100), Duration::from_secs(10));
/// What follows a transient failure after the pivot.
const RETRY_AFTER: Retry =
    Retry { attempts: Attempts::Forever, backoff_first: Duration::from_secs(1), backoff_max: Duration::from_secs(300) };
/// What follows a transient failure of a compensation.
const RETRY_COMPENSATION: Retry = retry(20, Duration::from_millis(500), Duration::from_secs(300));

const fn retry(attempts: u32, backoff_first: Duration, backoff_max: Duration) -> Retry {
    let attempts = match NonZeroU32::new(attempts) {
        Some(limit) => Attempts::Limited(limit),
        None => Attempts::Forever,
    };
    Retry { attempts, backoff_first, backoff_max }
}

/// Something with its line.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// A definition that may be wrong.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    pub(super) saga: Option<Located<String>>,
    pub(super) input: Option<&'a Node>,
    pub(super) deadline: Option<Located<Duration>>,
    pub(super) steps: Vec<DraftStep<'a>>,
}

/// A step that may be wrong.
#[derive(Debug, Default)]
pub(super) struct DraftStep<'a> {
    pub(super) line: usize,
    /// Whether it is a mapping at all; of what is not, nothing else is said.
    pub(super) is_mapping: bool,
    pub(super) name: Option<Located<String>>,
    pub(super) action: Option<Located<String>>,
    pub(super) input: Option<Located<&'a [Entry]>>,
    pub(super) compensation: Option<Located<DraftCompensation>>,
    pub(super) probe: Option<Located<String>>,
    pub(super) pivot: Option<Located<bool>>,
    pub(super) timeout: Option<Located<Duration>>,
    pub(super) retry: DraftRetry,
}

/// A compensation that may be wrong.
#[derive(Debug, Default)]
pub(super) struct DraftCompensation {
    pub(super) action: Option<Located<String>>,
    timeout: Option<Located<Duration>>,
    retry: DraftRetry,
}

/// A policy that may be wrong.
#[derive(Debug, Default)]
pub(super) struct DraftRetry {
    pub(super) attempts: Option<Located<Attempts>>,
    backoff: Option<Located<(Duration, Duration)>>,
}

/// Reads what can be read and reports what cannot.
pub(super) fn draft<'a>(tree: &'a Node, mistakes: &mut Vec<Mistake>) -> Draft<'a> {
    let mut reader = Reader { mistakes };
    let Some(fields) = reader.fields(tree, "the document", &SAGA_FIELDS) else { return Draft::default() };
    let saga = reader.required(&fields, "saga").and_then(|entry| reader.name(entry));
    let input = fields.get("input").filter(|entry| reader.is(entry, "a JSON Schema", is_map)).map(|entry| &entry.value);
    let deadline = reader.duration(&fields, "deadline");
    let steps = match reader.required(&fields, "steps") {
        None => Vec::new(),
        Some(entry) => reader.steps(entry),
    };
    Draft { saga, input, deadline, steps }
}

struct Reader<'m> {
    mistakes: &'m mut Vec<Mistake>,
}

/// The members of a mapping, and what the mapping is.
struct Fields<'a> {
    line: usize,
    what: String,
    entries: &'a [Entry],
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }
}

fn is_map(kind: &Kind) -> bool {
    matches!(kind, Kind::Map(_))
}

impl Reader<'_> {
    fn report(&mut self, line: usize, message: impl Into<String>) {
        self.mistakes.push(Mistake { line, message: message.into() });
    }

    fn fields<'a>(&mut self, node: &'a Node, what: &str, known: &[&str]) -> Option<Fields<'a>> {
        let Kind::Map(entries) = &node.kind else {
            self.report(node.line, format!("{what} must be a mapping, not {}", node.what()));
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let hint = match units::did_you_mean(&entry.key, known.iter().copied()) {
                hint if hint.is_empty() => format!("; it has {}", units::quoted(known, ", ")),
                hint => hint,
            };
            self.report(entry.line, format!("unknown field `{}` in {what}{hint}", units::short(&entry.key)));
        }
        Some(Fields { line: node.line, what: what.to_owned(), entries })
    }

    fn required<'a>(&mut self, fields: &Fields<'a>, name: &str) -> Option<&'a Entry> {
        let found = fields.get(name);
        if found.is_none() {
            self.report(fields.line, format!("{} needs `{name}`", fields.what));
        }
        found
    }

    /// Whether the value is of the right kind; reports when it is not.
    fn is(&mut self, entry: &Entry, expected: &str, right: impl Fn(&Kind) -> bool) -> bool {
        let ok = right(&entry.value.kind);
        if !ok {
            let line = if matches!(entry.value.kind, Kind::Null) { entry.line } else { entry.value.line };
            self.report(line, format!("`{}` must be {expected}, not {}", entry.key, entry.value.what()));
        }
        ok
    }

    fn text<'a>(&mut self, entry: &'a Entry, expected: &str) -> Option<Located<&'a str>> {
        match &entry.value.kind {
            Kind::Text(text) => Some(Located { line: entry.value.line, value: text }),
            _ => {
                self.is(entry, expected, |_| false);
                None
            }
        }
    }

    fn parsed<T>(&mut self, line: usize, parsed: Result<T, String>) -> Option<Located<T>> {
        match parsed {
            Ok(value) => Some(Located { line, value }),
            Err(message) => {
                self.report(line, message);
                None
            }
        }
    }

    fn name(&mut self, entry: &Entry) -> Option<Located<String>> {
        let text = self.text(entry, "a name")?;
        if !units::is_name(text.value) {
            let message =
                "is not a name; a name begins with a small letter and has small letters, digits and dashes, 63 at most";
            self.report(text.line, format!("`{}` {message}", units::short(text.value)));
        }
        Some(Located { line: text.line, value: text.value.to_owned() })
    }

    fn registered(&mut self, entry: &Entry, expected: &str) -> Option<Located<String>> {
        let text = self.text(entry, expected)?;
        Some(Located { line: text.line, value: text.value.to_owned() })
    }

    fn duration(&mut self, fields: &Fields<'_>, name: &str) -> Option<Located<Duration>> {
        let text = self.text(fields.get(name)?, "a duration such as `10s`")?;
        self.parsed(text.line, units::duration(text.value))
    }

    fn steps<'a>(&mut self, entry: &'a Entry) -> Vec<DraftStep<'a>> {
        let Kind::List(items) = &entry.value.kind else {
            self.is(entry, "a list of steps", |_| false);
            return Vec::new();
        };
        if items.is_empty() {
            self.report(entry.line, "a saga needs at least one step");
        }
        if let Some(first_too_many) = items.get(STEPS_MAX) {
            self.report(first_too_many.line, format!("more than {STEPS_MAX} steps"));
        }
        items.iter().take(STEPS_MAX).enumerate().map(|(index, item)| self.step(index, item)).collect()
    }

    fn step<'a>(&mut self, index: usize, node: &'a Node) -> DraftStep<'a> {
        let empty = DraftStep { line: node.line, ..DraftStep::default() };
        let what = match &node.kind {
            Kind::Map(entries) => entries.iter().find_map(|entry| match (&*entry.key, &entry.value.kind) {
                ("step", Kind::Text(name)) => Some(format!("step `{}`", units::short(name))),
                _ => None,
            }),
            _ => None,
        };
        let what = what.unwrap_or_else(|| format!("step {}", index + 1));
        let Some(fields) = self.fields(node, &what, &STEP_FIELDS) else { return empty };
        let input = fields.get("input").and_then(|entry| match &entry.value.kind {
            Kind::Map(members) => Some(Located { line: entry.line, value: members.as_slice() }),
            _ => {
                self.is(entry, "a mapping of names to literals or paths", |_| false);
                None
            }
        });
        let pivot = fields.get("pivot").and_then(|entry| match entry.value.kind {
            Kind::Bool(value) => Some(Located { line: entry.line, value }),
            _ => {
                self.is(entry, "true or false", |_| false);
                None
            }
        });
        DraftStep {
            line: node.line,
            is_mapping: true,
            name: self.required(&fields, "step").and_then(|entry| self.name(entry)),
            action: self.required(&fields, "action").and_then(|entry| self.registered(entry, "an action's name")),
            input,
            compensation: fields.get("compensation").and_then(|entry| self.compensation(entry, &what)),
            probe: fields.get("probe").and_then(|entry| self.registered(entry, "a probe's name")),
            pivot,
            timeout: self.duration(&fields, "timeout"),
            retry: self.retry(&fields, &what),
        }
    }

    fn compensation(&mut self, entry: &Entry, step: &str) -> Option<Located<DraftCompensation>> {
        let line = entry.line;
        if let Kind::Map(_) = entry.value.kind {
            let what = format!("the compensation of {step}");
            let fields = self.fields(&entry.value, &what, &COMPENSATION_FIELDS)?;
            let action = self.required(&fields, "action").and_then(|entry| self.registered(entry, "an action's name"));
            let timeout = self.duration(&fields, "timeout");
            let retry = self.retry(&fields, &what);
            return Some(Located { line, value: DraftCompensation { action, timeout, retry } });
        }
        // What is neither a name nor a mapping is one mistake, not a missing compensation as well.
        let action = self.registered(entry, "an action's name, or a mapping with `action`");
        Some(Located { line, value: DraftCompensation { action, ..DraftCompensation::default() } })
    }

    fn retry(&mut self, fields: &Fields<'_>, what: &str) -> DraftRetry {
        let Some(entry) = fields.get("retry") else { return DraftRetry::default() };
        if !self.is(entry, "a mapping with `attempts` and `backoff`", is_map) {
            return DraftRetry::default();
        }
        let Some(fields) = self.fields(&entry.value, &format!("the retry of {what}"), &RETRY_FIELDS) else {
            return DraftRetry::default();
        };
        let backoff = fields
            .get("backoff")
            .and_then(|entry| self.text(entry, "two durations such as `100ms..5s`"))
            .and_then(|text| self.parsed(text.line, units::backoff(text.value)));
        DraftRetry { attempts: fields.get("attempts").and_then(|entry| self.attempts(entry)), backoff }
    }

    fn attempts(&mut self, entry: &Entry) -> Option<Located<Attempts>> {
        let line = entry.value.line;
        match &entry.value.kind {
            Kind::Text(text) if text == "forever" => Some(Located { line, value: Attempts::Forever }),
            Kind::Number(number) if number.is_u64() => {
                self.parsed(line, units::attempts(number.as_u64().unwrap_or_default()))
            }
            Kind::Text(text) => {
                self.report(line, format!("`attempts` must be a number or `forever`, not `{}`", units::short(text)));
                None
            }
            Kind::Number(number) => {
                self.report(line, format!("`attempts` must be a whole number from 1 or `forever`, not {number}"));
                None
            }
            _ => {
                self.is(entry, "a number or `forever`", |_| false);
                None
            }
        }
    }
}

impl Draft<'_> {
    /// The index of the first step that is marked as the pivot.
    pub(super) fn pivot(&self) -> Option<usize> {
        self.steps.iter().position(DraftStep::is_pivot)
    }

    /// The definition, with every default filled in; nothing where something that it needs is missing.
    pub(super) fn finish(&self) -> Option<Definition> {
        let deadline = self.deadline.as_ref().map(|deadline| deadline.value);
        let pivot = self.pivot();
        let steps = self.steps.iter().enumerate();
        let steps = steps.map(|(index, step)| step.finish(pivot.is_some_and(|pivot| index > pivot), deadline));
        Some(Definition {
            saga: self.saga.as_ref()?.value.clone(),
            input: self.input.map_or_else(|| Value::Object(serde_json::Map::new()), Node::json),
            deadline,
            steps: steps.collect::<Option<_>>()?,
        })
    }
}

impl DraftStep<'_> {
    /// Whether it is marked as the pivot.
    pub(super) fn is_pivot(&self) -> bool {
        self.pivot.as_ref().is_some_and(|pivot| pivot.value)
    }

    fn finish(&self, after_pivot: bool, deadline: Option<Duration>) -> Option<Step> {
        let default_timeout = deadline.map_or(TIMEOUT, |deadline| deadline.min(TIMEOUT));
        let compensation = match &self.compensation {
            None => None,
            Some(compensation) => Some(compensation.value.finish()?),
        };
        Some(Step {
            step: self.name.as_ref()?.value.clone(),
            action: self.action.as_ref()?.value.clone(),
            input: self.input.as_ref().map(|input| members(input.value)),
            compensation,
            probe: self.probe.as_ref().map(|probe| probe.value.clone()),
            pivot: self.is_pivot(),
            timeout: self.timeout.as_ref().map_or(default_timeout, |timeout| timeout.value),
            retry: self.retry.finish(if after_pivot { RETRY_AFTER } else { RETRY_BEFORE }),
        })
    }
}

fn members(entries: &[Entry]) -> BTreeMap<String, Value> {
    entries.iter().map(|entry| (entry.key.clone(), entry.value.json())).collect()
}

impl DraftCompensation {
    fn finish(&self) -> Option<Compensation> {
        Some(Compensation {
            action: self.action.as_ref()?.value.clone(),
            timeout: self.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.value),
            retry: self.retry.finish(RETRY_COMPENSATION),
        })
    }
}

impl DraftRetry {
    fn finish(&self, default: Retry) -> Retry {
        let (backoff_first, backoff_max) =
            self.backoff.as_ref().map_or((default.backoff_first, default.backoff_max), |backoff| backoff.value);
        let attempts = self.attempts.as_ref().map_or(default.attempts, |attempts| attempts.value);
        Retry { attempts, backoff_first, backoff_max }
    }
}
