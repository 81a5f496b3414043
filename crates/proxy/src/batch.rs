//! Element changes straight to the kernel: one netlink batch, all or nothing, without nft reading the table first.

use std::net::IpAddr;

use crate::diff::Transaction;
use crate::netlink::{ACK, CREATE, Messages};
use crate::ruleset::{Element, Family, Field, Key, TABLE, Target};

/// Element attributes of one message stay under the 64 KiB that an attribute can hold.
const ELEMENTS_PER_MESSAGE: usize = 256;

const SUBSYSTEM_NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_SET_ELEMENT: u16 = SUBSYSTEM_NFTABLES << 8 | 12;
const DELETE_SET_ELEMENT: u16 = SUBSYSTEM_NFTABLES << 8 | 14;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

const DROP: i32 = 0;
const JUMP: i32 = -3;
const GOTO: i32 = -4;

/// The batch of a plain transaction ([`Transaction::is_plain`]).
pub(crate) fn batch(transaction: &Transaction) -> Messages {
    let mut messages = Messages::default();
    bracket(&mut messages, BATCH_BEGIN);
    put(&mut messages, DELETE_SET_ELEMENT, ACK, &transaction.delete_elements);
    put(&mut messages, NEW_SET_ELEMENT, ACK | CREATE, &transaction.add_elements);
    bracket(&mut messages, BATCH_END);
    messages
}

fn bracket(messages: &mut Messages, kind: u16) {
    let mark = messages.begin(kind, 0, 0, SUBSYSTEM_NFTABLES);
    messages.end(&mark);
}

fn put(messages: &mut Messages, kind: u16, flags: u16, elements: &[Element]) {
    for run in elements.chunk_by(|a, b| (a.family, a.map) == (b.family, b.map)) {
        for chunk in run.chunks(ELEMENTS_PER_MESSAGE) {
            let family = if chunk[0].family == Family::V4 { 2 } else { 10 };
            let message = messages.begin(kind, flags, family, 0);
            messages.attribute(LIST_TABLE, &[TABLE.as_bytes(), b"\0"]);
            messages.attribute(LIST_SET, &[chunk[0].map.name().as_bytes(), b"\0"]);
            let list = messages.nest(LIST_ELEMENTS);
            chunk.iter().for_each(|element| put_element(messages, element, kind == NEW_SET_ELEMENT));
            messages.end_nest(&list);
            messages.end(&message);
        }
    }
}

fn put_element(messages: &mut Messages, element: &Element, with_target: bool) {
    let outer = messages.nest(LIST_ELEMENT);
    let key = messages.nest(ELEMENT_KEY);
    messages.attribute(DATA_VALUE, &[&key_bytes(&element.key)]);
    messages.end_nest(&key);
    if with_target && element.target != Target::Member {
        let data = messages.nest(ELEMENT_DATA);
        put_target(messages, &element.target);
        messages.end_nest(&data);
    }
    messages.end_nest(&outer);
}

fn put_target(messages: &mut Messages, target: &Target) {
    match target {
        Target::Member => {}
        Target::Endpoint(endpoint) => {
            let key = Key::new(&[Field::Address(endpoint.ip()), Field::Port(endpoint.port())]);
            messages.attribute(DATA_VALUE, &[&key_bytes(&key)]);
        }
        Target::Goto(chain) => put_verdict(messages, GOTO, chain),
        Target::Jump(chain) => put_verdict(messages, JUMP, chain),
        Target::Drop => put_verdict(messages, DROP, ""),
    }
}

fn put_verdict(messages: &mut Messages, code: i32, chain: &str) {
    let verdict = messages.nest(DATA_VERDICT);
    messages.attribute(VERDICT_CODE, &[&code.to_be_bytes()]);
    if !chain.is_empty() {
        messages.attribute(VERDICT_CHAIN, &[chain.as_bytes(), b"\0"]);
    }
    messages.end_nest(&verdict);
}

/// The fields as registers of 32 bits; what is shorter is padded.
fn key_bytes(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    for field in key.fields() {
        match field {
            Field::Address(IpAddr::V4(address)) => bytes.extend(address.octets()),
            Field::Address(IpAddr::V6(address)) => bytes.extend(address.octets()),
            Field::Range(range) => match range.addr() {
                IpAddr::V4(address) => bytes.extend(address.octets()),
                IpAddr::V6(address) => bytes.extend(address.octets()),
            },
            Field::Protocol(protocol) => bytes.extend([protocol.number(), 0, 0, 0]),
            Field::Port(port) => bytes.extend(port.to_be_bytes().into_iter().chain([0, 0])),
            // A drawn number lies in its register in the machine's order.
            Field::Slot(slot) => bytes.extend(slot.to_ne_bytes()),
        }
    }
    bytes
}
