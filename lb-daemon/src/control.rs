//! The admin API's commands, carried out.

use lb_admin::{
    Change, ChangeKind, Changed, Control, ControlError, Plan, PoolChange, Readiness, Reloaded, Status, Target,
};
use lb_model::Weight;
use lb_runtime::{OverrideChange, OverrideTarget};

use crate::daemon::Daemon;
use crate::{metrics, status};

impl Control for Daemon {
    fn status(&self) -> Status {
        status::of(self)
    }

    fn metrics(&self) -> String {
        metrics::of(self)
    }

    fn readiness(&self) -> Readiness {
        self.history().readiness
    }

    async fn drain(&self, target: Target) -> Result<Changed, ControlError> {
        change(self, target, OverrideChange::Drain).await
    }

    async fn undrain(&self, target: Target) -> Result<Changed, ControlError> {
        change(self, target, OverrideChange::Undrain).await
    }

    async fn set_weight(&self, target: Target, weight: Option<u16>) -> Result<Changed, ControlError> {
        let change_to =
            weight.map_or(OverrideChange::ConfiguredWeight, |weight| OverrideChange::Weight(Weight(weight)));
        change(self, target, change_to).await
    }

    async fn plan(&self) -> Result<Plan, ControlError> {
        Self::plan(self).await.map(plan)
    }

    async fn reload(&self) -> Result<Reloaded, ControlError> {
        let done = Self::reload(self).await?;
        let plan = plan(done.plan);
        Ok(Reloaded { generation: done.generation, changed: plan.changed, plan })
    }
}

async fn change(daemon: &Daemon, target: Target, change: OverrideChange) -> Result<Changed, ControlError> {
    let Target { pool, backend } = target;
    let invalid = |error: lb_model::InvalidName| ControlError::NotFound(error.to_string());
    let target = OverrideTarget {
        pool: pool.parse().map_err(invalid)?,
        backend: backend.as_deref().map(str::parse).transpose().map_err(invalid)?,
    };
    daemon.change_override(&target, change).await?;
    let status = status::of(daemon);
    let of_pool = status.pools.into_iter().filter(|status| status.name == pool);
    let backends = of_pool.flat_map(|pool| pool.backends);
    let wanted = |name: &String| backend.as_ref().is_none_or(|wanted| wanted == name);
    let backends = backends.filter(|backend| wanted(&backend.name)).collect();
    let lb_admin::Overrides { persisted, problem, overrides: _ } = status.overrides;
    Ok(Changed { pool, backends, persisted, problem })
}

fn plan(plan: lb_runtime::Plan) -> Plan {
    let changed = !plan.is_empty();
    let lb_runtime::Plan { global, needs_restart, listeners, pools } = plan;
    let listeners = listeners.into_iter().map(change_of).collect();
    let pool = |pool: lb_runtime::PoolChange| {
        let Change { name, kind, details } = change_of(pool.change);
        let backends = pool.backends.into_iter().map(change_of).collect();
        PoolChange { name, kind, details, backends, moved_share: pool.moved }
    };
    Plan { changed, listeners, pools: pools.into_iter().map(pool).collect(), global, needs_restart }
}

fn change_of(change: lb_runtime::Change) -> Change {
    let lb_runtime::Change { name, kind, details } = change;
    let kind = match kind {
        lb_runtime::ChangeKind::Added => ChangeKind::Added,
        lb_runtime::ChangeKind::Removed => ChangeKind::Removed,
        lb_runtime::ChangeKind::Changed => ChangeKind::Changed,
    };
    Change { name, kind, details }
}
