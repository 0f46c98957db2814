//! The definitions that tests run.

const STEP: &str = "retry: { attempts: 3, backoff: 1ms..2ms }";
const TAKE_BACK: &str = "retry: { attempts: 4, backoff: 1ms..2ms }";

pub(super) fn documents() -> Vec<String> {
    vec![
        format!(
            "saga: three-steps\ninput: {{ type: object }}\nsteps:\n\
             - {{ step: one, action: test.do, compensation: test.undo, probe: test.ask, timeout: 20s, {STEP} }}\n\
             - {{ step: two, action: test.do, compensation: test.undo, probe: test.ask, timeout: 20s, {STEP} }}\n\
             - {{ step: three, action: demo.echo, pivot: true, {STEP} }}\n\
             - {{ step: four, action: test.do, probe: test.ask, retry: {{ attempts: forever, backoff: 1ms..2ms }} }}\n"
        ),
        format!(
            "saga: one-step\ninput: {{ type: object }}\nsteps:\n- {{ step: only, action: test.write, {STEP} }}\n"
        ),
        "saga: timed\ninput: { type: object }\nsteps:\n\
         - { step: slow, action: test.do, compensation: test.undo, probe: test.ask, timeout: 50ms, retry: { attempts: 3, backoff: 1ms..2ms } }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
        "saga: patient\ninput: { type: object }\nsteps:\n\
         - { step: begin, action: demo.echo, pivot: true }\n\
         - { step: ask, action: test.do, probe: test.ask, retry: { attempts: forever, backoff: 1ms..2ms } }\n"
            .to_owned(),
        "saga: slow\ninput: { type: object }\nsteps:\n\
         - { step: one, action: test.do, compensation: test.undo, retry: { attempts: 9, backoff: 1h..1h } }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
        // its compensation does what the test tells it, as its action does
        format!(
            "saga: regretful\ninput: {{ type: object }}\nsteps:\n\
             - {{ step: one, action: test.do, compensation: {{ action: test.do, {TAKE_BACK} }}, {STEP} }}\n\
             - {{ step: two, action: demo.echo, input: {{ told: $.steps.one.told }}, compensation: demo.undo }}\n\
             - {{ step: three, action: test.do, pivot: true, {STEP} }}\n"
        ),
        // what is in doubt is asked about much later
        "saga: doubtful\ninput: { type: object }\nsteps:\n\
         - { step: one, action: test.do, compensation: test.undo, probe: test.ask, retry: { attempts: 9, backoff: 1h..1h } }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
        "saga: either\ninput: { type: object }\nsteps:\n\
         - { step: wait, action: demo.wait, input: { signal: go, ms: 1 }, compensation: demo.undo }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
        "saga: twice\ninput: { type: object }\nsteps:\n\
         - { step: wait, action: test.child, compensation: demo.undo }\n\
         - { step: again, action: test.child, compensation: demo.undo }\n\
         - { step: inside, action: test.local-child }\n"
            .to_owned(),
        format!(
            "saga: local\ninput: {{ type: object }}\nsteps:\n\
             - {{ step: one, action: test.write, compensation: demo.undo, {STEP} }}\n\
             - {{ step: two, action: test.write, compensation: demo.undo, {STEP} }}\n\
             - {{ step: three, action: test.write, pivot: true, {STEP} }}\n"
        ),
        format!(
            "saga: spoiled\ninput: {{ type: object }}\nsteps:\n\
             - {{ step: one, action: test.write, compensation: demo.undo, {STEP} }}\n\
             - {{ step: two, action: demo.echo, input: {{ it: poison }}, compensation: demo.undo, {STEP} }}\n\
             - {{ step: three, action: test.write, pivot: true, {STEP} }}\n"
        ),
        // more attempts than claims: what ends it is that its workers die
        "saga: doomed\ninput: { type: object }\nsteps:\n\
         - { step: one, action: test.do, compensation: test.undo, probe: test.ask, timeout: 20s, retry: { attempts: 50, backoff: 1ms..2ms } }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
        "saga: parent\ninput: { type: object }\nsteps:\n- { step: wait, action: test.child }\n".to_owned(),
        format!("saga: leaving\ninput: {{ type: object }}\nsteps:\n- {{ step: leave, action: test.leave, {STEP} }}\n"),
        waiter("end"),
        halting(),
        "saga: hasty\ninput: { type: object }\ndeadline: 1s\nsteps:\n\
         - { step: wait, action: demo.wait, input: { signal: go }, compensation: demo.undo, timeout: 1s }\n\
         - { step: end, action: demo.echo, pivot: true, timeout: 1s }\n"
            .to_owned(),
    ]
}

/// Waits for a signal, and has a last step of this name.
pub(crate) fn waiter(last: &str) -> String {
    format!(
        "saga: waiter\ninput: {{ type: object }}\ndeadline: 1h\nsteps:\n\
         - {{ step: wait, action: demo.wait, input: {{ signal: go }}, compensation: demo.undo }}\n\
         - {{ step: {last}, action: demo.echo, pivot: true }}\n"
    )
}

/// What fails in its second step is tried again much later.
fn halting() -> String {
    "saga: halting\ninput: { type: object }\nsteps:\n\
         - { step: one, action: test.do, compensation: test.undo, probe: test.ask, timeout: 20s }\n\
         - { step: two, action: test.do, compensation: test.undo, probe: test.ask, timeout: 20s, retry: { attempts: 3, backoff: 1h..1h } }\n\
         - { step: three, action: demo.echo, pivot: true }\n\
         - { step: four, action: test.do, probe: test.ask }\n"
            .to_owned()
}
