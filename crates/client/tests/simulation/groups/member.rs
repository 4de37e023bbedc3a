//! One life of a member: the process, its application, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use kanat_broker::BrokerHandle;
use kanat_client::{
    Assignor, ConsumerOptions, CooperativeStickyAssignor, Error, Fetched, GroupConsumer, GroupEvent, GroupOptions,
    LeaveMode, OffsetAndMetadata, RangeAssignor, RoundRobinAssignor, StickyAssignor, Subscription,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::history::{History, LifeTap};
use super::plan::{Commits, End, Interest, Life, Plan, TOPICS};
use crate::trace;
use crate::wire::Cable;
use crate::world::{RUN_MAX, client_options_over, connect};

pub(crate) const GROUP: &str = "g";

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Process {
    number: usize,
    history: Arc<History>,
    cable: Arc<Cable>,
    stop: oneshot::Sender<LeaveMode>,
    working: JoinHandle<()>,
}

/// What its application knows.
struct Application {
    number: usize,
    life: Life,
    history: Arc<History>,
    random: fastrand::Rng,
    began: Instant,
    /// Items since the last commit of all.
    items: u32,
}

impl Process {
    pub(crate) fn start(
        place: usize,
        life: Life,
        plan: &Plan,
        broker: &BrokerHandle,
        history: &Arc<History>,
    ) -> Process {
        let number = history.begin();
        let tap = LifeTap { life: number, history: Arc::clone(history) };
        let cable = Arc::new(Cable::new(broker.dialer(), Some(Arc::new(tap))));
        let client = client_options_over(broker, &cable).with_client_id(format!("m{number}"));
        let options = group_options(place, &life, plan);
        trace::note(|| format!("member {number} begins in place {place}: {life:?}"));
        if let Some((after, time)) = life.freeze {
            let cable = Arc::clone(&cable);
            tokio::spawn(async move {
                sleep(after).await;
                trace::note(|| format!("member {number} is cut off for {time:?}"));
                cable.freeze(Instant::now() + time);
            });
        }
        let random = fastrand::Rng::with_seed(plan.seed.wrapping_mul(31).wrapping_add(number as u64));
        let application =
            Application { number, life, history: Arc::clone(history), random, began: Instant::now(), items: 0 };
        let (stop, stopped) = oneshot::channel();
        let working = tokio::spawn(async move {
            let client = connect(client).await;
            application.work(client.group_consumer(options).unwrap(), stopped).await;
        });
        Process { number, history: Arc::clone(history), cable, stop, working }
    }

    /// Ends it, and comes back when it is gone.
    pub(crate) async fn end(self, end: End) {
        let Process { number, history, cable, stop, working } = self;
        trace::note(|| format!("member {number} shall end: {end:?}"));
        let leave = match end {
            End::Close => Some(LeaveMode::Default),
            End::Leave => Some(LeaveMode::Leave),
            End::Drop => None,
            End::Crash => {
                cable.cut();
                None
            }
            End::Vanish => {
                cable.freeze(Instant::now() + RUN_MAX);
                // The brokers' ends of its connections stay open.
                tokio::spawn(async move {
                    sleep(RUN_MAX).await;
                    drop(cable);
                });
                None
            }
        };
        match leave {
            // It has ended by itself if nobody listens.
            Some(mode) => drop(stop.send(mode)),
            None => {
                history.over(number);
                working.abort();
            }
        }
        match working.await {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            _ => {}
        }
    }
}

fn group_options(place: usize, life: &Life, plan: &Plan) -> GroupOptions {
    let assignors = life.assignors.iter().map(|name| -> Arc<dyn Assignor> {
        match *name {
            "range" => Arc::new(RangeAssignor),
            "roundrobin" => Arc::new(RoundRobinAssignor),
            "sticky" => Arc::new(StickyAssignor),
            _ => Arc::new(CooperativeStickyAssignor),
        }
    });
    // Idle fetches cost more than all the rest of a run.
    let consumer = ConsumerOptions { fetch_wait_ms_max: 5_000, ..ConsumerOptions::default() };
    let mut options = GroupOptions::new(GROUP, subscription(life.interests[0].1))
        .with_protocol(plan.protocol)
        .with_assignors(assignors)
        .with_session_timeout_ms(plan.session_ms)
        .with_heartbeat_interval_ms(plan.heartbeat_ms)
        .with_max_poll_interval_ms(plan.max_poll_ms)
        .with_topics_refresh_ms(2_000)
        .with_consumer(consumer);
    options.server_assignor = life.server_assignor.map(str::to_owned);
    options.instance_id = life.is_static.then(|| format!("i{place}"));
    if let Commits::Auto(interval_ms) = life.commits {
        options.auto_commit_interval_ms = Some(interval_ms);
    }
    options
}

fn subscription(interest: Interest) -> Subscription {
    match interest {
        Interest::One(topic) => [TOPICS[topic]].into(),
        Interest::All => TOPICS.into(),
        Interest::Pattern => Subscription::Regex("t|u".to_owned()),
    }
}

impl Application {
    async fn work(mut self, mut consumer: GroupConsumer, mut stopped: oneshot::Receiver<LeaveMode>) {
        let mut interests = std::mem::take(&mut self.life.interests).into_iter();
        interests.next();
        let mut change = interests.next().map(|(wait, interest)| (self.began + wait, interest));
        let mode = loop {
            let change_at = change.map_or(self.began + 2 * RUN_MAX, |(at, _)| at);
            let event = tokio::select! {
                biased;
                mode = &mut stopped => break mode.unwrap_or_default(),
                () = tokio::time::sleep_until(change_at) => {
                    if let Some((at, interest)) = change.take() {
                        trace::note(|| format!("member {} subscribes to {interest:?}", self.number));
                        consumer.subscribe(subscription(interest)).unwrap();
                        change = interests.next().map(|(wait, interest)| (at + wait, interest));
                    }
                    continue;
                }
                event = consumer.next() => event,
            };
            match event {
                Ok(event) => self.handle(&consumer, event).await,
                Err(Error::Closed { .. }) => return self.history.over(self.number),
                Err(error) => self.history.failed(self.number, "next", &error),
            }
        };
        if let Commits::Delivered(_) = self.life.commits {
            self.commit_delivered(&consumer).await;
        }
        self.history.over(self.number);
        if let Err(error) = consumer.close_with(mode).await {
            self.history.failed(self.number, "close", &error);
        }
    }

    async fn handle(&mut self, consumer: &GroupConsumer, event: GroupEvent) {
        match event {
            GroupEvent::Fetched(fetched) => self.process(consumer, fetched).await,
            GroupEvent::Assigned(partitions) => {
                for partition in &partitions {
                    let start = consumer.position(partition).unwrap_or(i64::MAX);
                    self.history.assigned(self.number, partition, start);
                }
            }
            GroupEvent::Revoked(revocation) => {
                self.take_time().await;
                if let Commits::Delivered(_) = self.life.commits {
                    self.commit_delivered(consumer).await;
                }
                self.history.released(self.number, revocation.partitions());
                revocation.release();
            }
            GroupEvent::Lost(partitions) => self.history.lost(self.number, &partitions),
        }
    }

    async fn process(&mut self, consumer: &GroupConsumer, fetched: Fetched) {
        self.history.delivered(self.number, &fetched);
        self.take_time().await;
        if let Some((_, time)) = self.life.stall.take_if(|(after, _)| self.began.elapsed() >= *after) {
            trace::note(|| format!("member {} does not come back for {time:?}", self.number));
            sleep(time).await;
        }
        self.history.processed(self.number, &fetched);
        let offset = [(fetched.tp.clone(), OffsetAndMetadata::new(fetched.next_offset))];
        match self.life.commits {
            Commits::Auto(_) => {}
            Commits::Async => drop(consumer.commit(offset)),
            Commits::Sync => {
                if let Err(error) = consumer.commit_sync(offset).await {
                    self.history.failed(self.number, "commit", &error);
                }
            }
            Commits::Delivered(every) => {
                self.items += 1;
                if self.items >= every {
                    self.commit_delivered(consumer).await;
                }
            }
        }
    }

    async fn commit_delivered(&mut self, consumer: &GroupConsumer) {
        self.items = 0;
        if let Err(error) = consumer.commit_delivered().await {
            self.history.failed(self.number, "commit", &error);
        }
    }

    async fn take_time(&mut self) {
        sleep(Duration::from_millis(self.random.u64(0..self.life.work_ms_max))).await;
    }
}
