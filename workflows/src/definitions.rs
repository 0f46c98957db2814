//! The definitions that the binary brings along: one file each, and one line here.

macro_rules! document {
    ($file:literal) => {
        ($file, include_str!(concat!("../definitions/", $file)))
    };
}

/// Our business: file and text.
pub const DOCUMENTS: &[(&str, &str)] =
    &[document!("book-tickets.yaml"), document!("refund-order.yaml"), document!("settle-doubt.yaml")];

/// What gives money back is started by what it follows from, which knows how much and with whose consent.
pub const NOT_BY_HAND: &[&str] = &["refund-order", "settle-doubt"];

/// For tutorials and tests, where the demo actions are allowed: file and text.
pub const DEMO_DOCUMENTS: &[(&str, &str)] =
    &[document!("demo-flaky.yaml"), document!("demo-greeting.yaml"), document!("demo-wait.yaml")];

/// What to bring along, with or without the demo actions.
#[must_use]
pub fn documents(demo_actions: bool) -> Vec<(&'static str, &'static str)> {
    let demo = if demo_actions { DEMO_DOCUMENTS } else { &[] };
    DOCUMENTS.iter().chain(demo).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        payments::{CALL_TAKES_MAX, CALLS_MAX, Charge, Gateways, Settle, TakeBack},
        refunds::SubmitRefund,
        registry::{Needs, registry},
        settings::BookingSettings,
        tickets::TicketKeys,
    };
    use orchestrator::{
        action::{ExternalAction, Registry},
        definition::Definition,
    };
    use serde_json::Value;
    use std::{fs, path::Path, sync::Arc};

    #[test]
    fn every_file_is_listed_under_its_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("definitions");
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<_> = names.collect();
        files.sort();
        let mut listed: Vec<_> = documents(true).into_iter().map(|(file, _)| file.to_owned()).collect();
        listed.sort();
        assert_eq!(files, listed);
        for (file, yaml) in documents(true) {
            let name = file.strip_suffix(".yaml").unwrap();
            assert!(yaml.contains(&format!("\nsaga: {name}\n")), "{file}");
        }
    }

    #[test]
    fn every_document_has_the_documented_form() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/definition.schema.json");
        let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let validator = jsonschema::options().offline().build(&schema).unwrap();
        for (file, yaml) in documents(true) {
            let document: Value = serde_saphyr::from_str(yaml).unwrap();
            let mistakes: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert_eq!(mistakes, Vec::<String>::new(), "{file}");
        }
    }

    fn all_actions(demo_actions: bool) -> Registry {
        registry(&Needs {
            gateways: Arc::new(Gateways::default()),
            ticket_keys: TicketKeys::development(),
            settings: BookingSettings::default(),
            demo_actions,
        })
        .unwrap()
    }

    #[test]
    fn every_document_is_without_mistakes() {
        for demo_actions in [false, true] {
            let registry = all_actions(demo_actions);
            for (file, yaml) in documents(demo_actions) {
                assert_eq!(Definition::read(yaml, &registry).err(), None, "{file}");
            }
        }
    }

    #[test]
    fn what_charges_and_pays_back_has_time_for_all_its_calls() {
        let registry = all_actions(false);
        let mut seen = Vec::new();
        for (file, yaml) in documents(false) {
            for step in Definition::read(yaml, &registry).unwrap().steps {
                let forward = (step.action, step.timeout);
                let backward = step.compensation.map(|compensation| (compensation.action, compensation.timeout));
                for (action, timeout) in [Some(forward), backward].into_iter().flatten() {
                    if [Charge::NAME, TakeBack::NAME, SubmitRefund::NAME, Settle::NAME].contains(&action.as_str()) {
                        assert!(timeout > CALL_TAKES_MAX * CALLS_MAX, "{file}: {action} has {timeout:?}");
                        seen.push(action);
                    }
                }
            }
        }
        assert_eq!(seen, [Charge::NAME, TakeBack::NAME, SubmitRefund::NAME, Settle::NAME]);
    }
}
