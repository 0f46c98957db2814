//! What the steps of a draft get, checked against what actions declare.

use super::{
    Mistake,
    parse::{Draft, DraftStep, Located},
    paths::{self, Segment},
    schema::{Member, Place},
    tree::{Entry, Kind, Node},
    units::{did_you_mean, short},
};
use serde_json::Value;

/// What is known while the inputs of a draft's steps are checked.
pub(super) struct Inputs<'a> {
    /// The steps.
    pub(super) draft: &'a Draft<'a>,
    /// The schema of what each step's action gives, where there is such an action.
    pub(super) outputs: &'a [Option<&'a Value>],
    /// The schema of the saga's input.
    pub(super) saga_input: &'a Value,
}

/// Somebody who gets a step's input.
pub(super) struct Taker<'a> {
    /// Its name, and where that stands.
    pub(super) name: &'a Located<String>,
    /// JSON Schema of what it takes.
    pub(super) schema: &'a Value,
    /// Whether it is the action: the input is made for it, so it must know every name.
    pub(super) is_action: bool,
}

impl<'a> Inputs<'a> {
    /// Checks every path of a step's input, whoever gets it.
    pub(super) fn check_paths(&self, index: usize, step: &DraftStep<'_>, mistakes: &mut Vec<Mistake>) {
        for entry in step.input.iter().flat_map(|input| input.value) {
            self.check_paths_in(index, &entry.value, mistakes);
        }
    }

    fn check_paths_in(&self, index: usize, node: &Node, mistakes: &mut Vec<Mistake>) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| self.check_paths_in(index, item, mistakes)),
            Kind::Map(entries) => entries.iter().for_each(|entry| self.check_paths_in(index, &entry.value, mistakes)),
            Kind::Text(text) if paths::as_path(&Value::from(text.as_str())).is_some() => {
                if let Err(message) = self.leads_to(index, text) {
                    mistakes.push(Mistake { line: node.line, message });
                }
            }
            _ => {}
        }
    }

    /// Where a path in step `index` leads, as far as the schemas tell.
    fn leads_to(&self, index: usize, path: &str) -> Result<Option<Place<'a>>, String> {
        paths::parse(path)?;
        let (segments, whole) = paths::leading(path);
        let shown = short(path);
        let (start, rest) = match segments.as_slice() {
            [Segment::Name(root), rest @ ..] if root == "input" => (Place::whole(self.saga_input), rest),
            [Segment::Name(root), Segment::Name(step), rest @ ..] if root == "steps" => {
                match self.output_of(index, step)? {
                    Some(output) => (output, rest),
                    None => return Ok(None),
                }
            }
            _ => return Err(format!("`{shown}` must begin with `$.input` or `$.steps.` and the name of a step")),
        };
        let mut place = start;
        for segment in rest {
            let member = match segment {
                Segment::Name(name) => place.member(name),
                Segment::Index => place.item(),
            };
            place = match (member, segment) {
                (Member::Declared(member), _) => member,
                (Member::Undeclared, Segment::Name(name)) => {
                    let owner = match &segments[1] {
                        Segment::Name(step) if segments[0] == Segment::Name("steps".to_owned()) => {
                            format!("step `{step}` gives")
                        }
                        _ => "the saga's input declares".to_owned(),
                    };
                    return Err(format!("`{shown}`: {owner} no `{name}`{}", did_you_mean(name, place.names())));
                }
                _ => return Ok(None),
            };
        }
        Ok(whole.then_some(place))
    }

    fn output_of(&self, index: usize, step: &str) -> Result<Option<Place<'a>>, String> {
        let names = || self.draft.steps.iter().filter_map(|step| step.name.as_ref()).map(|name| name.value.as_str());
        let found =
            self.draft.steps.iter().position(|other| other.name.as_ref().is_some_and(|name| name.value == step));
        match found {
            None => Err(format!("there is no step `{}`{}", short(step), did_you_mean(step, names()))),
            Some(found) if found >= index => Err(format!("step `{step}` has no output yet: it is not before this one")),
            Some(found) => Ok(self.outputs[found].map(Place::whole)),
        }
    }

    /// Checks what one who gets step `index`'s input makes of it.
    pub(super) fn check_taker(&self, index: usize, taker: &Taker<'_>, mistakes: &mut Vec<Mistake>) {
        match &self.draft.steps[index].input {
            Some(input) => self.check_mapping(index, input, taker, mistakes),
            None => self.check_whole(taker, mistakes),
        }
    }

    fn check_mapping(&self, index: usize, input: &Located<&[Entry]>, taker: &Taker<'_>, mistakes: &mut Vec<Mistake>) {
        let place = Place::whole(taker.schema);
        let name = &taker.name.value;
        for needed in place.required() {
            if !input.value.iter().any(|entry| entry.key == needed) {
                let message = format!("`{name}` needs `{needed}`, which `input` does not give");
                mistakes.push(Mistake { line: input.line, message });
            }
        }
        for entry in input.value {
            match place.member(&entry.key) {
                Member::Declared(member) => {
                    if let Some(message) = self.misfit(index, &entry.value, member) {
                        let message = format!("`{}` of `{name}`: {message}", entry.key);
                        mistakes.push(Mistake { line: entry.value.line, message });
                    }
                }
                Member::Undeclared if taker.is_action || place.is_closed() => {
                    let hint = did_you_mean(&entry.key, place.names());
                    let message = format!("`{name}` knows no input `{}`{hint}", short(&entry.key));
                    mistakes.push(Mistake { line: entry.line, message });
                }
                Member::Undeclared | Member::Anything => {}
            }
        }
    }

    /// Why a literal or a path cannot be what `member` asks for.
    fn misfit(&self, index: usize, node: &Node, member: Place<'_>) -> Option<String> {
        let value = node.json();
        let Some(path) = paths::as_path(&value) else {
            return if paths::contains_path(&value) { None } else { member.refuses(&value) };
        };
        let source = self.leads_to(index, path).ok().flatten()?;
        (!source.can_be(member)).then(|| mismatch(&format!("`{}`", short(path)), source, member))
    }

    /// Checks one who gets the saga's input as it is.
    fn check_whole(&self, taker: &Taker<'_>, mistakes: &mut Vec<Mistake>) {
        let (place, given) = (Place::whole(taker.schema), Place::whole(self.saga_input));
        let Located { line, value: name } = taker.name;
        let mut report = |message| mistakes.push(Mistake { line: *line, message });
        for needed in place.required() {
            if let Member::Undeclared = given.member(needed) {
                report(format!("`{name}` needs `{needed}`, which the saga's input does not declare"));
            }
        }
        for offered in given.names() {
            match (place.member(offered), given.member(offered)) {
                (Member::Declared(wanted), Member::Declared(source)) if !source.can_be(wanted) => {
                    report(format!("`{offered}` of `{name}`: {}", mismatch("the saga's input", source, wanted)));
                }
                (Member::Undeclared, _) if place.is_closed() => {
                    report(format!("`{name}` refuses `{offered}` of the saga's input; give the step an `input`"));
                }
                _ => {}
            }
        }
    }
}

fn mismatch(source_name: &str, source: Place<'_>, wanted: Place<'_>) -> String {
    let types = |place: Place<'_>| place.types().into_iter().flatten().collect::<Vec<_>>().join(" or ");
    format!("{source_name} gives {}, not {}", types(source), types(wanted))
}
