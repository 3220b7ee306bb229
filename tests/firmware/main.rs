//! The appliance on an emulated Cortex-M33 board, with its own drivers for Ethernet and real-time
//! clock. What is asserted is its true error: how far its answers are from this machine's time, or
//! from the virtual one's.

mod real_time;
mod virtual_time;

use truechimer_tests::peers::Need;
use truechimer_tests::trial::{conclude, trial};

fn main() {
    let on_board = |name, run| trial(name, &[Need::QemuArm], run);
    let trials = vec![
        on_board("on_board::a_server_sets_the_clock", real_time::a_server_sets_the_clock),
        on_board("on_board::the_rtc_lost_its_power", real_time::the_rtc_lost_its_power),
        on_board("on_board::the_rtc_is_past_2036", real_time::the_rtc_is_past_2036),
        on_board("on_board::the_rtc_has_the_time", real_time::the_rtc_has_the_time),
        on_board("on_board::its_address_is_static", real_time::its_address_is_static),
        on_board("on_board::a_server_is_kissed_off", real_time::a_server_is_kissed_off),
        on_board("on_board::a_leap_second_is_announced", real_time::a_leap_second_is_announced),
        on_board("on_board::its_status_is_asked_for", real_time::its_status_is_asked_for),
        on_board("on_board::the_floor_outlives_a_boot", real_time::the_floor_outlives_a_boot),
        on_board("on_board::a_fast_counter_is_learnt", virtual_time::a_fast_counter_is_learnt),
        on_board("on_board::a_slow_counter_is_learnt", virtual_time::a_slow_counter_is_learnt),
        on_board(
            "on_board::loss_and_lies_change_little",
            virtual_time::loss_and_lies_change_little,
        ),
        on_board("on_board::noise_changes_nothing", virtual_time::noise_changes_nothing),
        on_board("on_board::a_lease_is_renewed", virtual_time::a_lease_is_renewed),
        on_board("on_board::a_day_alone_is_bounded", virtual_time::a_day_alone_is_bounded),
    ];
    // Two emulators at a time disturb one another.
    conclude(trials, 1);
}
