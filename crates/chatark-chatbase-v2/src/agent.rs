//! The agent itself: whether it exists, and why its export is empty.

use chatark_core::{AgentInfo, Result};
use chatark_http::Call;

use crate::dialect::lacks_scope;
use crate::export::{Export, PageContent, Query};
use crate::wire;

const AGENT: &str = "read the agent";

/// Confirms key, plan and agent with one request, or two if the key may not read agents. Neither is metered.
pub(crate) async fn check(export: Export<'_>) -> Result<AgentInfo> {
    let call = Call::new(AGENT, ["agents", export.agent_id]);
    match export.client.json_with_clock_skew::<wire::Agent>(&call).await {
        Ok((agent, clock_skew_seconds)) => {
            let name = agent.name.or_else(|| agent.data?.name);
            Ok(AgentInfo { name, confirmed: true, clock_skew_seconds })
        }
        // A key with only the export scope may not read agents: the export itself then confirms key and plan.
        Err(error) if lacks_scope(&error) => {
            let query =
                Query { since: None, until: None, sources: None, content: PageContent::Whole, limit: 1 };
            let call = export.call(&query, None);
            let (_, clock_skew_seconds) = export.client.json_with_clock_skew::<wire::Envelope>(&call).await?;
            Ok(AgentInfo { name: None, confirmed: false, clock_skew_seconds })
        }
        Err(error) => Err(error),
    }
}

/// Returns a note that says why the export is empty. It is also empty for an agent that does not exist, so the agent
/// itself is requested.
pub(crate) async fn explain_emptiness(export: Export<'_>) -> Result<String> {
    let info = check(export).await?;
    Ok(if info.confirmed {
        "the agent exists, and the vendor has no conversation that matches".to_owned()
    } else {
        "the vendor has no conversation that matches; whether the agent exists is not proved, since the key may not read agents".to_owned()
    })
}
