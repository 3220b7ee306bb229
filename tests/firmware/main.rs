//! The appliance on emulated boards: a Cortex-M33 with drivers of its own for Ethernet and real-time
//! clock, and a 64-bit machine. What is asserted is its true error: how far its answers are from this machine's time, or
//! from the virtual one's.

mod built;
mod parity;
mod real_time;
mod reboot;
mod servers;
mod start;
mod virtual_time;

use anyhow::Result;
use truechimer_tests::board::Model;
use truechimer_tests::peers::Need;
use truechimer_tests::trial::{conclude, trial};

type OnBoard = fn(Model) -> Result<()>;
type InVirtualTime = fn() -> Result<()>;

/// What each board does, mostly in real time.
const ON_EACH: [(&str, OnBoard); 12] = [
    ("a_trace_gives_the_same_bits", parity::a_trace_gives_the_same_bits),
    ("a_server_sets_the_clock", real_time::a_server_sets_the_clock),
    ("the_rtc_lost_its_power", real_time::the_rtc_lost_its_power),
    ("the_rtc_is_past_2036", real_time::the_rtc_is_past_2036),
    ("the_rtc_has_the_time", real_time::the_rtc_has_the_time),
    ("chimed_is_its_server", real_time::chimed_is_its_server),
    ("chronyd_is_its_server", real_time::chronyd_is_its_server),
    ("its_address_is_static", real_time::its_address_is_static),
    ("a_server_is_kissed_off", real_time::a_server_is_kissed_off),
    ("a_leap_second_is_announced", real_time::a_leap_second_is_announced),
    ("its_status_is_asked_for", real_time::its_status_is_asked_for),
    ("the_floor_outlives_a_boot", real_time::the_floor_outlives_a_boot),
];

/// What is the library's and not a board's, in virtual time.
const VIRTUAL_TIME: [(&str, InVirtualTime); 19] = [
    ("the_rtc_on_a_bus_has_the_time", virtual_time::the_rtc_on_a_bus_has_the_time),
    ("the_rtc_on_a_bus_is_set", virtual_time::the_rtc_on_a_bus_is_set),
    ("a_fast_counter_is_learnt", virtual_time::a_fast_counter_is_learnt),
    ("a_slow_counter_is_learnt", virtual_time::a_slow_counter_is_learnt),
    ("loss_and_lies_change_little", virtual_time::loss_and_lies_change_little),
    ("noise_changes_nothing", virtual_time::noise_changes_nothing),
    ("a_name_is_looked_up", virtual_time::a_name_is_looked_up),
    ("dhcp_is_silent_for_a_minute", virtual_time::dhcp_is_silent_for_a_minute),
    ("its_log_is_this", virtual_time::its_log_is_this),
    ("it_is_as_right_as_a_host", virtual_time::it_is_as_right_as_a_host),
    ("a_lease_is_renewed", virtual_time::a_lease_is_renewed),
    ("a_day_alone_is_bounded", virtual_time::a_day_alone_is_bounded),
    ("a_dead_server_is_left", servers::a_dead_server_is_left),
    ("kisses_are_heeded", servers::kisses_are_heeded),
    ("a_leap_second_is_inserted", servers::a_leap_second_is_inserted),
    ("the_first_correct_time_is_soon", start::the_first_correct_time_is_soon),
    ("a_turn_takes_so_much", start::a_turn_takes_so_much),
    ("a_day_without_power_is_bridged", reboot::a_day_without_power_is_bridged),
    ("a_cold_day_stays_within_the_bound", reboot::a_cold_day_stays_within_the_bound),
];

fn main() {
    let mut trials = Vec::new();
    for (prefix, model) in [("on_board", Model::Mps3An524), ("on_board::64", Model::VirtAarch64)] {
        trials.extend(ON_EACH.map(|(name, run)| {
            trial(&format!("{prefix}::{name}"), &[Need::QemuArm, Need::Chronyd], move || run(model))
        }));
    }
    let on_board = |(name, run)| trial(&format!("on_board::{name}"), &[Need::QemuArm], run);
    trials.extend(VIRTUAL_TIME.map(on_board));
    trials.push(trial("on_board::w5500_evb_pico2_is_built", &[], built::w5500_evb_pico2));
    // Two emulators at a time disturb one another.
    conclude(trials, 1);
}
