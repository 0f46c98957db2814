//! The rules that a definition keeps, beyond its form.

use super::{
    Attempts, Mistake,
    inputs::{Inputs, Taker},
    parse::{Draft, DraftStep, Located},
    schema,
    units::{did_you_mean, short, show},
};
use crate::{
    action::{Erased, Registered, Registry},
    store::Store,
};
use serde_json::json;

/// What a name is used as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Action,
    Compensation,
    Probe,
}

/// Reports everything in a draft that breaks a rule.
pub(super) fn check<S: Store>(draft: &Draft<'_>, registry: &Registry<S>, mistakes: &mut Vec<Mistake>) {
    let mut rules = Rules { draft, registry, mistakes };
    let input_is_usable = rules.check_schema();
    rules.check_names();
    rules.check_pivot();
    rules.check_deadline();
    rules.check_registered(input_is_usable);
}

struct Rules<'a, 'm, S: Store> {
    draft: &'a Draft<'a>,
    registry: &'a Registry<S>,
    mistakes: &'m mut Vec<Mistake>,
}

/// How a step is called in a sentence.
fn called(index: usize, step: &DraftStep<'_>) -> String {
    match &step.name {
        Some(name) => format!("step `{}`", short(&name.value)),
        None => format!("step {}", index + 1),
    }
}

impl<'a, S: Store> Rules<'a, '_, S> {
    fn report(&mut self, line: usize, message: impl Into<String>) {
        self.mistakes.push(Mistake { line, message: message.into() });
    }

    fn check_schema(&mut self) -> bool {
        let Some(input) = self.draft.input else { return true };
        let wrong = schema::mistakes(&input.json());
        for error in &wrong {
            self.report(
                input.line_at(&error.pointer),
                format!("`input` is not a usable JSON Schema: {}", error.message),
            );
        }
        wrong.is_empty()
    }

    fn check_names(&mut self) {
        let names: Vec<_> = self.draft.steps.iter().filter_map(|step| step.name.as_ref()).collect();
        for (index, name) in names.iter().enumerate() {
            if let Some(first) = names[..index].iter().find(|earlier| earlier.value == name.value) {
                let message =
                    format!("two steps are called `{}`; the first is in line {}", short(&name.value), first.line);
                self.report(name.line, message);
            }
        }
    }

    /// What must be taken back until the pivot, and done after it. Without a pivot nothing can follow the last
    /// step either, so that it alone may do without a compensation.
    fn check_pivot(&mut self) {
        let draft = self.draft;
        let pivot = draft.pivot();
        for (index, step) in draft.steps.iter().enumerate() {
            let what = called(index, step);
            let before = pivot.map_or(index + 1 < draft.steps.len(), |pivot| index < pivot);
            match (&step.compensation, pivot) {
                (None, _) if before && step.is_mapping => {
                    self.report(step.line, format!("{what} comes before the pivot and has no compensation"))
                }
                (Some(compensation), Some(pivot)) if index == pivot => {
                    self.report(
                        compensation.line,
                        format!(
                            "{what} is the pivot: once it is done nothing is taken back, so it has no compensation"
                        ),
                    );
                }
                (Some(compensation), Some(pivot)) if index > pivot => {
                    self.report(
                        compensation.line,
                        format!("{what} comes after the pivot, where nothing is taken back, and has a compensation"),
                    );
                }
                _ => {}
            }
            if step.is_pivot() && pivot != Some(index) {
                let line = step.pivot.as_ref().map_or(step.line, |pivot| pivot.line);
                self.report(line, format!("{what} is a second pivot; a saga has one"));
            }
            if let (Some(Located { line, value: Attempts::Limited(limit) }), Some(true)) =
                (&step.retry.attempts, pivot.map(|pivot| index > pivot))
            {
                self.report(*line, format!("{what} comes after the pivot, where only `forever` is allowed, and has a limit of {limit} attempts"));
            }
        }
    }

    fn check_deadline(&mut self) {
        let Some(deadline) = self.draft.deadline.as_ref().map(|deadline| deadline.value) else { return };
        for (index, step) in self.draft.steps.iter().enumerate() {
            if let Some(timeout) = step.timeout.as_ref().filter(|timeout| timeout.value > deadline) {
                let (timeout_text, deadline) = (show(timeout.value), show(deadline));
                let message = format!(
                    "the timeout of {} ({timeout_text}) is longer than the deadline ({deadline})",
                    called(index, step)
                );
                self.report(timeout.line, message);
            }
        }
    }

    /// Looks every name up, and checks what each of those behind them gets.
    fn check_registered(&mut self, input_is_usable: bool) {
        let anything = json!({});
        let saga_input = match self.draft.input {
            Some(input) if input_is_usable => input.json(),
            _ => anything,
        };
        let draft = self.draft;
        let actions: Vec<_> =
            draft.steps.iter().map(|step| self.registered(step.action.as_ref()?, Role::Action)).collect();
        let outputs: Vec<_> = actions.iter().map(|action| action.map(|action| &action.output)).collect();
        let inputs = Inputs { draft, outputs: &outputs, saga_input: &saga_input };
        for (index, step) in draft.steps.iter().enumerate() {
            inputs.check_paths(index, step, self.mistakes);
            let compensation = step.compensation.as_ref().and_then(|compensation| compensation.value.action.as_ref());
            if actions[index].is_some_and(|action| action.money) && step.probe.is_none() {
                let name = step.action.as_ref().map(|name| name.value.as_str()).unwrap_or_default();
                self.report(step.line, format!("{} moves money (`{name}`) and has no probe", called(index, step)));
            }
            let others = [(compensation, Role::Compensation), (step.probe.as_ref(), Role::Probe)];
            let takers =
                others.into_iter().map(|(name, role)| (name, name.and_then(|name| self.registered(name, role)), false));
            let takers: Vec<_> = takers.chain([(step.action.as_ref(), actions[index], true)]).collect();
            for (name, registered, is_action) in takers {
                if let (Some(name), Some(registered)) = (name, registered) {
                    let taker = Taker { name, schema: &registered.input, is_action };
                    inputs.check_taker(index, &taker, self.mistakes);
                }
            }
        }
    }

    fn registered(&mut self, name: &Located<String>, role: Role) -> Option<&'a Registered<S>> {
        let is_probe = |registered: &Registered<S>| matches!(registered.erased, Erased::Probe(_));
        let Located { line, value: name } = name;
        let shown = short(name);
        match self.registry.get(name) {
            Some(found) if is_probe(found) == (role == Role::Probe) => return Some(found),
            Some(_) if role == Role::Probe => self.report(*line, format!("`{shown}` is an action, not a probe")),
            Some(_) => self.report(*line, format!("`{shown}` is a probe, not an action")),
            None => {
                let right = self.registry.iter().filter(|(_, other)| is_probe(other) == (role == Role::Probe));
                let hint = did_you_mean(name, right.map(|(name, _)| name));
                let role = match role {
                    Role::Action => "action",
                    Role::Compensation => "compensation",
                    Role::Probe => "probe",
                };
                self.report(*line, format!("unknown {role} `{shown}`{hint}"));
            }
        }
        None
    }
}
