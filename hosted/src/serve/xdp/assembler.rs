//! Instructions of the kernel's virtual machine (RFC 9669) with labels in place of distances.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::bpf::Instruction;

/// A register. A call takes its arguments from the second to the sixth, which it leaves undefined
/// as it does the first, its result; the last points to the end of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
}

/// What the second operand is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand {
    Register(Register),
    Constant(i32),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::Register(register)
    }
}

impl From<i32> for Operand {
    fn from(constant: i32) -> Self {
        Self::Constant(constant)
    }
}

/// How much is loaded or stored.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Width {
    U32 = 0x00,
    U16 = 0x08,
    U8 = 0x10,
    U64 = 0x18,
}

/// Of 64 bits.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Op {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Or = 0x40,
    And = 0x50,
    Shl = 0x60,
    Shr = 0x70,
    Xor = 0xa0,
    Set = 0xb0,
}

/// Without signs.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum If {
    Equal = 0x10,
    Greater = 0x20,
    NotLess = 0x30,
    Different = 0x50,
    Less = 0xa0,
}

/// A place to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A function of the kernel's, by its number in `enum bpf_func_id`.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(super) enum Function {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    Monotonic = 5,
    /// The number of the processor that this runs on.
    Processor = 8,
}

#[derive(Debug, Default)]
pub(super) struct Assembler {
    instructions: Vec<Instruction>,
    /// Where each label is.
    labels: Vec<Option<usize>>,
    /// Which instruction jumps to which label.
    jumps: Vec<(usize, Label)>,
}

const REGISTER: u8 = 0x08;

impl Assembler {
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is what comes next.
    pub(super) fn here(&mut self, label: Label) {
        self.labels[label.0] = Some(self.instructions.len());
    }

    pub(super) fn op(&mut self, op: Op, to: Register, from: impl Into<Operand>) {
        const ALU64: u8 = 0x07;
        self.operation(ALU64 | op as u8, to, from.into(), 0);
    }

    /// To or from network order.
    pub(super) fn network_order(&mut self, register: Register, bits: i32) {
        const TO_BIG_ENDIAN: u8 = 0xdc;
        self.push(TO_BIG_ENDIAN, register as u8, 0, 0, bits);
    }

    pub(super) fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        const LOAD: u8 = 0x61;
        self.push(LOAD | width as u8, to as u8, from as u8, offset, 0);
    }

    pub(super) fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        const STORE: u8 = 0x63;
        self.push(STORE | width as u8, to as u8, from as u8, offset, 0);
    }

    /// Adds to a word of memory, whoever else does at the same time.
    pub(super) fn add_atomically(&mut self, to: Register, offset: i16, from: Register) {
        const ATOMIC_U64: u8 = 0xdb;
        self.push(ATOMIC_U64, to as u8, from as u8, offset, Op::Add as i32);
    }

    pub(super) fn constant(&mut self, to: Register, constant: u64) {
        self.wide(to, 0, constant as i32, (constant >> 32) as i32);
    }

    /// The address of the only element of an array map.
    pub(super) fn memory(&mut self, to: Register, map: BorrowedFd<'_>) {
        const MAP_VALUE: u8 = 2;
        self.wide(to, MAP_VALUE, map.as_raw_fd(), 0);
    }

    pub(super) fn jump_if(
        &mut self,
        condition: If,
        left: Register,
        right: impl Into<Operand>,
        to: Label,
    ) {
        const JUMP: u8 = 0x05;
        self.jumps.push((self.instructions.len(), to));
        self.operation(JUMP | condition as u8, left, right.into(), 0);
    }

    pub(super) fn jump(&mut self, to: Label) {
        const ALWAYS: u8 = 0x05;
        self.jumps.push((self.instructions.len(), to));
        self.push(ALWAYS, 0, 0, 0, 0);
    }

    pub(super) fn call(&mut self, function: Function) {
        const CALL: u8 = 0x85;
        self.push(CALL, 0, 0, 0, function as i32);
    }

    /// Ends the program; the first register is its result.
    pub(super) fn exit(&mut self) {
        const EXIT: u8 = 0x95;
        self.push(EXIT, 0, 0, 0, 0);
    }

    /// The program; none if a label is nowhere or too far away.
    pub(super) fn finish(mut self) -> Option<Vec<Instruction>> {
        for (jump, label) in &self.jumps {
            let target = self.labels[label.0]?;
            // Counted from what comes after the jump.
            let distance = target as i64 - *jump as i64 - 1;
            self.instructions[*jump].offset = i16::try_from(distance).ok()?;
        }
        Some(self.instructions)
    }

    fn operation(&mut self, code: u8, left: Register, right: Operand, offset: i16) {
        match right {
            Operand::Register(register) => {
                self.push(code | REGISTER, left as u8, register as u8, offset, 0);
            }
            Operand::Constant(constant) => self.push(code, left as u8, 0, offset, constant),
        }
    }

    fn wide(&mut self, to: Register, source: u8, low: i32, high: i32) {
        const LOAD_CONSTANT: u8 = 0x18;
        self.push(LOAD_CONSTANT, to as u8, source, 0, low);
        self.push(0, 0, 0, 0, high);
    }

    fn push(&mut self, code: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        // Bit fields of C.
        let registers = match cfg!(target_endian = "little") {
            true => destination | source << 4,
            false => destination << 4 | source,
        };
        self.instructions.push(Instruction { code, registers, offset, immediate });
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;
    use Register::{R0, R1, R2, R8, R9};

    fn octets(instructions: &[Instruction]) -> Vec<u64> {
        let word = |one: &Instruction| {
            u64::from(one.code)
                | u64::from(one.registers) << 8
                | u64::from(one.offset.cast_unsigned()) << 16
                | u64::from(one.immediate.cast_unsigned()) << 32
        };
        instructions.iter().map(word).collect()
    }

    /// As LLVM's assembler makes them of what is beside.
    #[test]
    fn octets_are_those_of_another_assembler() {
        let mut asm = Assembler::default();
        let (start, end) = (asm.label(), asm.label());
        asm.here(start);
        asm.op(Op::Set, R1, -2);
        asm.op(Op::Add, R1, R9);
        asm.load(Width::U16, R2, R8, -6);
        asm.store(Width::U64, R1, 8, R2);
        asm.network_order(R2, 64);
        asm.jump_if(If::NotLess, R2, 7, end);
        asm.jump_if(If::Different, R2, R1, start);
        asm.constant(R0, 0x1122_3344_5566_7788);
        asm.add_atomically(R8, 16, R1);
        asm.call(Function::Processor);
        asm.jump(start);
        asm.here(end);
        asm.exit();
        let expected = [
            0xffff_fffe_0000_01b7, // r1 = -2
            0x0000_0000_0000_910f, // r1 += r9
            0x0000_0000_fffa_8269, // r2 = *(u16 *)(r8 - 6)
            0x0000_0000_0008_217b, // *(u64 *)(r1 + 8) = r2
            0x0000_0040_0000_02dc, // r2 = be64 r2
            0x0000_0007_0006_0235, // if r2 >= 7 goto +6
            0x0000_0000_fff9_125d, // if r2 != r1 goto -7
            0x5566_7788_0000_0018, // r0 = 0x1122334455667788 ll
            0x1122_3344_0000_0000,
            0x0000_0000_0010_18db, // lock *(u64 *)(r8 + 16) += r1
            0x0000_0008_0000_0085, // call 8
            0x0000_0000_fff4_0005, // goto -12
            0x0000_0000_0000_0095, // exit
        ];
        assert_eq!(octets(&asm.finish().unwrap()), expected);
    }

    #[test]
    fn a_label_has_to_be_somewhere_near() {
        let mut asm = Assembler::default();
        let nowhere = asm.label();
        asm.jump(nowhere);
        assert_eq!(asm.finish(), None);
        let mut asm = Assembler::default();
        let far = asm.label();
        asm.jump(far);
        for _ in 0..1 << 15 {
            asm.exit();
        }
        asm.here(far);
        assert_eq!(asm.finish(), None);
    }
}
