//! The first customers and orders, made up the same way every time.

use super::model::*;
use super::state::{Record, total};

const CUSTOMERS: u32 = 40;
const ORDERS: u32 = 200;

/// Orders are placed an hour apart, in a time of their own, from 2026-01-01T00:00:00Z on.
const FIRST_PLACED_S: i64 = 1_767_225_600;

const FIRST_NAMES: [&str; 8] = ["Ada", "Bruno", "Chioma", "Dmitri", "Elif", "Farid", "Grace", "Hana"];
const LAST_NAMES: [&str; 5] = ["Okafor", "Lindqvist", "Moreau", "Tanaka", "Kowalski"];
const STREETS: [&str; 5] = ["Harbor Street", "Mill Lane", "Station Road", "Orchard Way", "Canal Walk"];
const CITIES: [(&str, &str); 4] = [("Rotterdam", "NL"), ("Lyon", "FR"), ("Gdansk", "PL"), ("Turku", "FI")];
const BRANDS: [&str; 3] = ["visa", "mastercard", "amex"];

/// What can be ordered, and for how many US dollars. The contract lists the same names.
const ARTICLES: [(&str, u64); 8] = [
    ("kettle", 45),
    ("lamp", 60),
    ("desk", 320),
    ("chair", 140),
    ("mug", 12),
    ("rug", 95),
    ("shelf", 110),
    ("clock", 38),
];

/// The article of that name, and its price.
pub(super) fn article(sku: &str) -> Option<(&'static str, u64)> {
    ARTICLES.into_iter().find(|(name, _)| *name == sku)
}

pub(super) fn customers() -> impl Iterator<Item = Customer> {
    (1..=CUSTOMERS).map(customer)
}

pub(super) fn orders() -> impl Iterator<Item = Record> {
    (1..=ORDERS).map(order)
}

/// When an order was placed, in RFC 3339.
pub(super) fn placed_at(id: OrderId) -> String {
    let hours = i64::from(id.0).saturating_sub(1);
    let seconds = FIRST_PLACED_S.saturating_add(hours.saturating_mul(3_600));
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

fn customer(number: u32) -> Customer {
    let index = number.saturating_sub(1);
    let (first, last) = (pick(&FIRST_NAMES, index), pick(&LAST_NAMES, index / 8));
    let (city, country) = pick(&CITIES, index);
    Customer {
        id: CustomerId(number),
        name: format!("{first} {last}"),
        email: format!("{first}.{last}@example.com").to_lowercase(),
        address: Address {
            street: format!("{number} {}", pick(&STREETS, index)),
            city: city.to_owned(),
            postal_code: format!("{}", 10_000_u32.saturating_add(number.saturating_mul(731))),
            country: country.to_owned(),
        },
        card: Card {
            brand: pick(&BRANDS, index),
            last_four: format!("{:04}", number.saturating_mul(2_377) % 10_000),
        },
    }
}

fn order(number: u32) -> Record {
    let lines: Vec<Line> = (0..=number % 3).map(|line| seeded_line(number, line)).collect();
    let stage = stage(number);
    Record {
        id: OrderId(number),
        customer: CustomerId(number.saturating_mul(7) % CUSTOMERS + 1),
        total: total(&lines),
        lines,
        refunded: 0,
        stage,
        restarts: 0,
        priority: if stage == Stage::Stuck { Priority::High } else { Priority::Normal },
        note: String::new(),
    }
}

/// Every tenth order is stuck, from the seventh on.
fn stage(number: u32) -> Stage {
    match number {
        _ if number % 10 == 7 => Stage::Stuck,
        _ if number.is_multiple_of(11) => Stage::Canceled,
        _ if number.is_multiple_of(3) => Stage::Shipped,
        _ => Stage::Picking,
    }
}

fn seeded_line(number: u32, line: u32) -> Line {
    let (sku, unit_price) = pick(&ARTICLES, number.saturating_mul(3).saturating_add(line));
    Line { sku, unit_price, quantity: u64::from(number.saturating_add(line) % 4) + 1 }
}

fn pick<T: Copy + Default>(among: &[T], index: u32) -> T {
    among.iter().copied().cycle().nth(index as usize % among.len().max(1)).unwrap_or_default()
}
