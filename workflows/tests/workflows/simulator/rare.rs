//! What happens rarely, counted: a run in which it never happened has not tried it.

use std::fmt;

macro_rules! rare {
    ($($(#[$doc:meta])* $name:ident: $words:literal),* $(,)?) => {
        /// How often each has happened.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(super) struct Rare {
            $($(#[$doc])* pub(super) $name: u64,)*
        }

        impl Rare {
            fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$(($words, self.$name)),*]
            }

            pub(super) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

rare! {
    confirmed: "orders with tickets",
    taken_back: "orders taken back",
    hold_lost_after_payment: "hold lost after payment",
    zombie_refused: "zombie refused",
    unknown_found_done: "unknown commit found done",
    unknown_found_not_done: "unknown commit found not done",
    stuck: "stuck",
    cancelled_in_doubt: "cancelled during doubt",
    probed_done: "found done by a probe",
    late_arrival: "a charge arrived late",
    late_arrival_refused: "a late charge found itself voided",
    captured_before_void: "a void came too late",
    refunded: "refunded",
    killed: "killed by a person",
    signal_ended_wait: "the buyer's bank answered",
    worker_lost: "a step lost every worker",
    swept: "a lost wake-up was mended",
    retried_by_person: "a person had it tried again",
    deadline: "past its deadline",
}

impl Rare {
    /// What has never happened.
    pub(super) fn never(&self) -> Vec<&'static str> {
        self.all().into_iter().filter(|(_, times)| *times == 0).map(|(words, _)| words).collect()
    }
}

impl fmt::Display for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().iter().try_for_each(|(words, times)| writeln!(f, "{times:>9}  {words}"))
    }
}
