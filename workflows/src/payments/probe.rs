//! Asks what became of a charge that is in doubt.

use super::{
    ChargeInput, ChargeOutput, Gateways,
    charges::{Known, last_charge},
    charging::{Asked, Charging},
};
use async_trait::async_trait;
use orchestrator::action::{Answer, Call, Halt, Notebook, Probe, Probed};
use std::sync::Arc;

/// `payments.probe`: asks the gateway that the charge was intended at.
#[derive(Debug, Clone)]
pub struct ProbeCharge {
    /// Where.
    pub gateways: Arc<Gateways>,
}

#[async_trait]
impl Probe for ProbeCharge {
    const NAME: &'static str = "payments.probe";
    type Input = ChargeInput;
    type Output = ChargeOutput;

    async fn probe(&self, call: &Call, notebook: &dyn Notebook, input: ChargeInput) -> Answer<Probed<ChargeOutput>> {
        let Some(attempt) = last_charge(call) else { return Ok(Probed::NotExecuted) };
        match attempt.known {
            // over, as was noted before the worker died; or not the order's any more, whatever its gateway says now
            Known::Idle | Known::Declined(_) | Known::Voided | Known::LeftBehind | Known::Settled => {
                return Ok(Probed::NotExecuted);
            }
            Known::Captured(_) | Known::Open => {}
        }
        let prepares = self.gateways.get(&attempt.gateway).is_some_and(|found| found.gateway.capabilities().prepares);
        if attempt.reference.is_none() && prepares {
            // nothing is charged before its reference is committed
            return Ok(Probed::NotExecuted);
        }
        let charging = Charging::new(&self.gateways, call, notebook, &input, attempt)?;
        match charging.learn_in_time().await {
            Ok(Asked::Captured(output)) => Ok(Probed::Executed(output)),
            Ok(Asked::Open | Asked::Ended) => Ok(Probed::NotExecuted),
            Ok(Asked::Unknown { halt, .. }) => Err(halt),
            Err(Halt::Permanent(failure)) => Ok(Probed::Refused(failure)),
            // definitely not executed there, and another gateway could do better
            Err(Halt::Transient { .. }) => Ok(Probed::NotExecuted),
            Err(halt) => Err(halt),
        }
    }
}
