//! One Redis, or a cluster of them. Both connect when first asked and reconnect by themselves.

use super::LinkError;
use redis::{
    Cmd, FromRedisValue, RedisError, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;

/// How long one attempt to connect may take: it goes on behind calls that have given up on it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "one per process")]
pub(super) enum Connection {
    One(ConnectionManager),
    Cluster(ClusterClient, Arc<OnceCell<ClusterConnection>>),
}

impl Connection {
    pub(super) fn new(address: &str, call_timeout: Duration) -> Result<Self, LinkError> {
        let refuse = |source| LinkError::Address { address: without_password(address), source };
        if address.contains(',') {
            let nodes: Vec<&str> = address.split(',').map(str::trim).collect();
            let client = ClusterClient::builder(nodes)
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(call_timeout)
                .retries(1)
                .build()
                .map_err(refuse)?;
            return Ok(Self::Cluster(client, Arc::default()));
        }
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(call_timeout));
        let client = redis::Client::open(address).map_err(refuse)?;
        ConnectionManager::new_lazy_with_config(client, config).map(Self::One).map_err(refuse)
    }

    pub(super) async fn script<T: FromRedisValue>(&mut self, call: &ScriptInvocation<'_>) -> Result<T, RedisError> {
        match self {
            Self::One(manager) => call.invoke_async(manager).await,
            Self::Cluster(client, cell) => call.invoke_async(&mut cluster(client, cell).await?).await,
        }
    }

    pub(super) async fn command<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Self::One(manager) => command.query_async(manager).await,
            Self::Cluster(client, cell) => command.query_async(&mut cluster(client, cell).await?).await,
        }
    }
}

async fn cluster(client: &ClusterClient, cell: &OnceCell<ClusterConnection>) -> Result<ClusterConnection, RedisError> {
    cell.get_or_try_init(|| client.get_async_connection()).await.cloned()
}

fn without_password(address: &str) -> String {
    match (address.find("://"), address.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://…{}", &address[..scheme], &address[at..]),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_repeated() {
        assert_eq!(without_password("redis://:secret@db:6379/1"), "redis://…@db:6379/1");
        assert_eq!(without_password("unix:///run/redis.sock"), "unix:///run/redis.sock");
    }
}
