//! The one list of what definitions may name.

use super::{Answer, Call, ExternalAction, Halt, LocalAction, Notebook, Probe, Probed};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::PgConnection;
use std::{collections::BTreeMap, sync::Arc};

/// Two things were registered under one name.
#[derive(Debug, thiserror::Error)]
#[error("two actions or probes are registered as `{0}`")]
pub struct RegistryError(pub String);

/// An external action without its types.
#[async_trait]
pub trait AnyExternal: Send + Sync {
    /// See [`ExternalAction::intent`].
    async fn intent(&self, call: &Call, input: &Value) -> Answer<Value>;
    /// See [`ExternalAction::run`].
    async fn run(&self, call: &Call, notebook: &dyn Notebook, intent: &Value, input: Value) -> Answer<Value>;
}

/// A local action without its types.
#[async_trait]
pub trait AnyLocal: Send + Sync {
    /// See [`LocalAction::run`].
    async fn run(&self, tx: &mut PgConnection, call: &Call, input: Value) -> Answer<Value>;
}

/// A probe without its types.
#[async_trait]
pub trait AnyProbe: Send + Sync {
    /// See [`Probe::probe`].
    async fn probe(&self, call: &Call, notebook: &dyn Notebook, input: Value) -> Answer<Probed<Value>>;
}

/// What stands behind a name.
#[derive(Clone)]
pub enum Erased {
    /// Talks to somebody else.
    External(Arc<dyn AnyExternal>),
    /// Runs in the transaction of its move.
    Local(Arc<dyn AnyLocal>),
    /// Asks what became of a call.
    Probe(Arc<dyn AnyProbe>),
}

/// A registered name with what a validator needs to know of it.
#[derive(Clone)]
pub struct Registered {
    /// The code.
    pub erased: Erased,
    /// Moves money.
    pub money: bool,
    /// JSON Schema of its input.
    pub input: Value,
    /// JSON Schema of its output.
    pub output: Value,
}

/// Everything that definitions may name, by name.
#[derive(Clone, Default)]
pub struct Registry {
    entries: BTreeMap<&'static str, Registered>,
}

impl Registry {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an external action.
    ///
    /// # Errors
    /// [`RegistryError`] when the name is taken.
    pub fn external<A: ExternalAction>(&mut self, action: A) -> Result<&mut Self, RegistryError> {
        self.add::<A::Input, A::Output>(A::NAME, A::MONEY, Erased::External(Arc::new(Typed(action))))
    }

    /// Adds a local action.
    ///
    /// # Errors
    /// [`RegistryError`] when the name is taken.
    pub fn local<A: LocalAction>(&mut self, action: A) -> Result<&mut Self, RegistryError> {
        self.add::<A::Input, A::Output>(A::NAME, false, Erased::Local(Arc::new(Typed(action))))
    }

    /// Adds a probe.
    ///
    /// # Errors
    /// [`RegistryError`] when the name is taken.
    pub fn probe<P: Probe>(&mut self, probe: P) -> Result<&mut Self, RegistryError> {
        self.add::<P::Input, P::Output>(P::NAME, false, Erased::Probe(Arc::new(Typed(probe))))
    }

    fn add<I: JsonSchema, O: JsonSchema>(
        &mut self,
        name: &'static str,
        money: bool,
        erased: Erased,
    ) -> Result<&mut Self, RegistryError> {
        let registered = Registered { erased, money, input: schema_of::<I>(), output: schema_of::<O>() };
        match self.entries.insert(name, registered) {
            None => Ok(self),
            Some(_) => Err(RegistryError(name.to_owned())),
        }
    }

    /// What is registered under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Registered> {
        self.entries.get(name)
    }

    /// The same names with other code behind them: how tests make steps fail.
    #[must_use]
    pub fn map(&self, with: impl Fn(&'static str, &Erased) -> Erased) -> Self {
        let wrapped = |(name, registered): (&&'static str, &Registered)| {
            (*name, Registered { erased: with(name, &registered.erased), ..registered.clone() })
        };
        Self { entries: self.entries.iter().map(wrapped).collect() }
    }

    /// All names with what stands behind them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Registered)> {
        self.entries.iter().map(|(name, registered)| (*name, registered))
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

struct Typed<A>(A);

fn read<T: DeserializeOwned>(input: Value) -> Answer<T> {
    serde_json::from_value(input).map_err(|error| Halt::permanent("invalid-input", error.to_string()))
}

fn write<T: Serialize>(output: T) -> Answer<Value> {
    serde_json::to_value(output).map_err(|error| Halt::permanent("invalid-output", error.to_string()))
}

#[async_trait]
impl<A: ExternalAction> AnyExternal for Typed<A> {
    async fn intent(&self, call: &Call, input: &Value) -> Answer<Value> {
        self.0.intent(call, &read(input.clone())?).await
    }
    async fn run(&self, call: &Call, notebook: &dyn Notebook, intent: &Value, input: Value) -> Answer<Value> {
        self.0.run(call, notebook, intent, read(input)?).await.and_then(write)
    }
}

#[async_trait]
impl<A: LocalAction> AnyLocal for Typed<A> {
    async fn run(&self, tx: &mut PgConnection, call: &Call, input: Value) -> Answer<Value> {
        self.0.run(tx, call, read(input)?).await.and_then(write)
    }
}

#[async_trait]
impl<P: Probe> AnyProbe for Typed<P> {
    async fn probe(&self, call: &Call, notebook: &dyn Notebook, input: Value) -> Answer<Probed<Value>> {
        Ok(match self.0.probe(call, notebook, read(input)?).await? {
            Probed::Executed(output) => Probed::Executed(write(output)?),
            Probed::NotExecuted => Probed::NotExecuted,
            Probed::Refused(failure) => Probed::Refused(failure),
        })
    }
}
