//! The interrupts of the board that are used (Arm DAI 0524, table 4-3).

/// Of the alarm, CMSDK timer 1 of the subsystem.
pub const ALARM_IRQ: usize = 4;
/// Of what is typed at UART 0.
pub const TYPED_IRQ: usize = 32;
/// Of the Ethernet controller.
pub const ETHERNET_IRQ: usize = 48;

#[derive(Clone, Copy)]
union Vector {
    handler: unsafe extern "C" fn(),
    reserved: usize,
}

unsafe extern "C" {
    fn ALARM();
    fn TYPED();
    fn ETHERNET();
}

// SAFETY: the linker script of cortex-m-rt wants a table of this name in this section.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Vector; ETHERNET_IRQ + 1] = {
    let mut table = [Vector { reserved: 0 }; ETHERNET_IRQ + 1];
    table[ALARM_IRQ] = Vector { handler: ALARM };
    table[TYPED_IRQ] = Vector { handler: TYPED };
    table[ETHERNET_IRQ] = Vector { handler: ETHERNET };
    table
};

/// An interrupt's number, for the interrupt controller.
#[derive(Clone, Copy)]
pub struct Irq(pub usize);

// SAFETY: only made of the numbers above, which the controller has.
unsafe impl cortex_m::interrupt::InterruptNumber for Irq {
    fn number(self) -> u16 {
        self.0 as u16
    }
}
