//! What a person gives for a step: of the form that its action has.

use super::Act;
use crate::{
    action::{Lane, Registry},
    definition::{Definition, InputMistake, compile, input_mistakes},
    run::Run,
    store::Store,
};
use serde_json::Value;

/// Everything that is wrong with what `act` gives. What a compensation gives is read by nobody.
pub(super) fn mistakes<S: Store>(
    definition: &Definition,
    run: &Run,
    act: &Act,
    registry: &Registry<S>,
) -> Vec<InputMistake> {
    let (step, given) = match act {
        Act::Skip { step, output } | Act::Complete { step, output, .. } if !run.compensating => (step, output),
        Act::EditInput { step, input } | Act::Fork { step, input: Some(input) } => (step, input),
        _ => return Vec::new(),
    };
    let Some(form) = form_of(definition, step, matches!(act, Act::EditInput { .. } | Act::Fork { .. }), registry)
    else {
        return Vec::new();
    };
    match compile(form) {
        Ok(validator) => input_mistakes(&validator, given),
        Err(error) => vec![InputMistake { pointer: String::new(), message: error.to_string() }],
    }
}

fn form_of<'a, S: Store>(
    definition: &Definition,
    step: &str,
    of_input: bool,
    registry: &'a Registry<S>,
) -> Option<&'a Value> {
    let step = definition.steps.iter().find(|candidate| candidate.step == step)?;
    let registered = registry.get(step.action_of(Lane::Forward))?;
    Some(if of_input { &registered.input } else { &registered.output })
}
