//! The one list of what definitions may name.

use super::{Answer, Call, ExternalAction, Halt, LocalAction, Notebook, Probe, Probed};
use crate::store::{Postgres, Store};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
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
pub trait AnyLocal<S: Store = Postgres>: Send + Sync {
    /// See [`LocalAction::run`].
    async fn run(&self, tx: &mut S::Tx, call: &Call, input: Value) -> Answer<Value>;
    /// See [`LocalAction::SET_BASED`].
    fn is_set_based(&self) -> bool {
        false
    }
    /// See [`LocalAction::run_set`].
    ///
    /// # Errors
    /// The database's.
    async fn run_set(&self, tx: &mut S::Tx, calls: &[(&Call, &Value)]) -> Result<Vec<Answer<Value>>, sqlx::Error> {
        let mut answers = Vec::with_capacity(calls.len());
        for (call, input) in calls {
            answers.push(self.run(tx, call, (*input).clone()).await);
        }
        Ok(answers)
    }
}

/// A probe without its types.
#[async_trait]
pub trait AnyProbe: Send + Sync {
    /// See [`Probe::probe`].
    async fn probe(&self, call: &Call, notebook: &dyn Notebook, input: Value) -> Answer<Probed<Value>>;
}

/// What stands behind a name.
#[derive(Clone)]
pub enum Erased<S: Store = Postgres> {
    /// Talks to somebody else.
    External(Arc<dyn AnyExternal>),
    /// Runs in the transaction of its move.
    Local(Arc<dyn AnyLocal<S>>),
    /// Asks what became of a call.
    Probe(Arc<dyn AnyProbe>),
}

/// A registered name with what a validator needs to know of it.
#[derive(Clone)]
pub struct Registered<S: Store = Postgres> {
    /// The code.
    pub erased: Erased<S>,
    /// Moves money.
    pub money: bool,
    /// JSON Schema of its input.
    pub input: Value,
    /// JSON Schema of its output.
    pub output: Value,
}

/// Everything that definitions may name, by name.
#[derive(Clone)]
pub struct Registry<S: Store = Postgres> {
    entries: BTreeMap<&'static str, Registered<S>>,
}

impl<S: Store> Default for Registry<S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<S: Store> Registry<S> {
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
    pub fn local<A: LocalAction<S>>(&mut self, action: A) -> Result<&mut Self, RegistryError> {
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
        erased: Erased<S>,
    ) -> Result<&mut Self, RegistryError> {
        let registered = Registered { erased, money, input: schema_of::<I>(), output: schema_of::<O>() };
        match self.entries.insert(name, registered) {
            None => Ok(self),
            Some(_) => Err(RegistryError(name.to_owned())),
        }
    }

    /// What is registered under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Registered<S>> {
        self.entries.get(name)
    }

    /// The same names with other code behind them: how tests make steps fail.
    #[must_use]
    pub fn map(&self, with: impl Fn(&'static str, &Erased<S>) -> Erased<S>) -> Self {
        let wrapped = |(name, registered): (&&'static str, &Registered<S>)| {
            (*name, Registered { erased: with(name, &registered.erased), ..registered.clone() })
        };
        Self { entries: self.entries.iter().map(wrapped).collect() }
    }

    /// All names with what stands behind them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Registered<S>)> {
        self.entries.iter().map(|(name, registered)| (*name, registered))
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

struct Typed<A>(A);

fn read<T: DeserializeOwned>(input: Value) -> Answer<T> {
    serde_json::from_value(input).map_err(unreadable)
}

#[expect(clippy::needless_pass_by_value, reason = "as an error is mapped")]
fn unreadable(error: serde_json::Error) -> Halt {
    Halt::permanent("invalid-input", error.to_string())
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
impl<S: Store, A: LocalAction<S>> AnyLocal<S> for Typed<A> {
    async fn run(&self, tx: &mut S::Tx, call: &Call, input: Value) -> Answer<Value> {
        self.0.run(tx, call, read(input)?).await.and_then(write)
    }

    fn is_set_based(&self) -> bool {
        A::SET_BASED
    }

    async fn run_set(&self, tx: &mut S::Tx, calls: &[(&Call, &Value)]) -> Result<Vec<Answer<Value>>, sqlx::Error> {
        let mut answers: Vec<Option<Answer<Value>>> = Vec::with_capacity(calls.len());
        let mut readable = Vec::with_capacity(calls.len());
        for (call, input) in calls {
            let input = A::Input::deserialize(*input).map_err(unreadable);
            answers.push(input.as_ref().err().cloned().map(Err));
            readable.extend(input.ok().map(|input| (*call, input)));
        }
        let mut given = self.0.run_set(tx, readable).await?.into_iter().map(|answer| answer.and_then(write));
        Ok(answers.into_iter().filter_map(|unread| unread.or_else(|| given.next())).collect())
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
