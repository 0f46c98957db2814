//! Identifiers. Each kind is a type of its own with a prefix that people recognise (`sag_…`), over a UUIDv7:
//! ids sort by the time they were made, which is what history is partitioned by.

pub use uuid::Uuid;

/// A text that is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}_<32 hex digits>")]
pub struct NotAnId {
    /// What was given.
    pub text: String,
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// Splits `prefix_hex` and reads the UUID behind the prefix.
///
/// # Errors
/// [`NotAnId`] when the prefix or the digits are not right.
pub fn parse_prefixed(prefix: &'static str, text: &str) -> Result<Uuid, NotAnId> {
    let refuse = || NotAnId { text: text.chars().take(80).collect(), prefix };
    let hex = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or_else(refuse)?;
    if hex.len() != 32 || hex.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(refuse());
    }
    Uuid::try_parse(hex).map_err(|_| refuse())
}

/// Declares a prefixed id type over a UUID: `prefixed_id!(/** doc */ SagaId, "sag");`.
#[macro_export]
macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $crate::ids::Uuid);

        impl $name {
            /// What its text begins with.
            pub const PREFIX: &'static str = $prefix;
            /// A new id, ordered by the time it is made.
            #[must_use]
            pub fn fresh() -> Self {
                Self($crate::ids::fresh_uuid())
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}_{}", Self::PREFIX, self.0.simple())
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::ids::NotAnId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::ids::parse_prefixed(Self::PREFIX, text).map(Self)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": concat!("^", $prefix, "_[0-9a-f]{32}$") })
            }
        }
    };
}

/// A new UUIDv7. The one place where an id is made.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the replacement that the lint points to")]
pub fn fresh_uuid() -> Uuid {
    Uuid::now_v7()
}

prefixed_id!(
    /// One durable run of a definition.
    SagaId, "sag"
);
prefixed_id!(
    /// One message of the outbox.
    MessageId, "msg"
);
prefixed_id!(
    /// One cause that made sagas need a person: a digest of the cause, so that the same one has the same name.
    CaseId, "cas"
);
