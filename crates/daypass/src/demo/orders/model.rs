//! What the API shows: orders, customers, payments, fulfilment. Amounts are whole US dollars.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bounded::{Email, Items, Number, OutOfBounds, Text, Whole, present};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "Whole")]
        pub(super) struct $name(pub(super) u32);

        impl TryFrom<Whole> for $name {
            type Error = OutOfBounds;

            fn try_from(Whole(number): Whole) -> Result<Self, OutOfBounds> {
                let number = u32::try_from(number).ok().filter(|&number| number > 0);
                number.map(Self).ok_or(OutOfBounds::Number { min: 1, max: u32::MAX.into() })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// An order's number, from 1. Its fulfilment bears the same number.
    OrderId
}
number_id! {
    /// A customer's number, from 1.
    CustomerId
}
number_id! {
    /// A payment's number: its order's, plus 1000.
    PaymentId
}

impl PaymentId {
    pub(super) fn of(order: OrderId) -> Self {
        Self(order.0.saturating_add(1_000))
    }

    pub(super) fn order(self) -> OrderId {
        OrderId(self.0.saturating_sub(1_000))
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OrderStatus {
    Open,
    Shipped,
    Canceled,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Priority {
    Normal,
    High,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    Picking,
    Stuck,
    Shipped,
    Canceled,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PaymentStatus {
    Captured,
    PartlyRefunded,
    Refunded,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    pub(super) sku: &'static str,
    pub(super) quantity: u64,
    pub(super) unit_price: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Buyer {
    pub(super) id: CustomerId,
    pub(super) name: String,
    pub(super) email: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Order {
    pub(super) id: OrderId,
    pub(super) status: OrderStatus,
    pub(super) priority: Priority,
    pub(super) note: String,
    pub(super) customer: Buyer,
    pub(super) lines: Vec<Line>,
    pub(super) total: u64,
    pub(super) payment: PaymentId,
    pub(super) placed_at: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Address {
    pub(super) street: String,
    pub(super) city: String,
    pub(super) postal_code: String,
    pub(super) country: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Card {
    pub(super) brand: &'static str,
    pub(super) last_four: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Customer {
    pub(super) id: CustomerId,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) address: Address,
    pub(super) card: Card,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Payment {
    pub(super) id: PaymentId,
    pub(super) order: OrderId,
    pub(super) customer: CustomerId,
    pub(super) status: PaymentStatus,
    pub(super) amount: u64,
    pub(super) refunded: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Fulfilment {
    pub(super) id: OrderId,
    pub(super) stage: Stage,
    pub(super) warehouse: &'static str,
    pub(super) restarts: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Refund {
    pub(super) order: OrderId,
    pub(super) payment: PaymentId,
    pub(super) amount: u64,
    pub(super) reason: String,
    pub(super) refunded_total: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLine {
    pub(super) sku: String,
    pub(super) quantity: Number<1, 100>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrder {
    pub(super) customer: CustomerId,
    pub(super) lines: Items<NewLine, 20>,
    #[serde(default, deserialize_with = "present")]
    pub(super) note: Option<Text<0, 200>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderChange {
    #[serde(default, deserialize_with = "present")]
    pub(super) note: Option<Text<0, 200>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) priority: Option<Priority>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAddress {
    street: Text<1, 100>,
    city: Text<1, 100>,
    postal_code: Text<1, 20>,
    country: Text<2, 2>,
}

impl From<NewAddress> for Address {
    fn from(new: NewAddress) -> Self {
        Self {
            street: new.street.into(),
            city: new.city.into(),
            postal_code: new.postal_code.into(),
            country: new.country.into(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerChange {
    pub(super) name: Text<1, 100>,
    pub(super) email: Email,
    pub(super) address: NewAddress,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRefund {
    pub(super) amount: Number<1, 100_000>,
    pub(super) reason: Text<1, 200>,
}

/// One page of a list: its rows, and the id to pass as `after` for the next page.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    pub(super) next: Option<u32>,
}

/// Where in a list to read: behind `after`, `limit` rows.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Window {
    pub(super) after: Option<u32>,
    pub(super) limit: Option<Number<1, 100>>,
}

/// Which orders to list.
#[derive(Debug, Deserialize)]
pub(super) struct OrderFilter {
    pub(super) status: Option<OrderStatus>,
    pub(super) customer: Option<CustomerId>,
    pub(super) after: Option<u32>,
    pub(super) limit: Option<Number<1, 100>>,
}

/// Which payments to list.
#[derive(Debug, Deserialize)]
pub(super) struct PaymentFilter {
    pub(super) status: Option<PaymentStatus>,
    pub(super) after: Option<u32>,
    pub(super) limit: Option<Number<1, 100>>,
}

/// Which fulfilment to list.
#[derive(Debug, Deserialize)]
pub(super) struct FulfilmentFilter {
    pub(super) stage: Option<Stage>,
    pub(super) after: Option<u32>,
    pub(super) limit: Option<Number<1, 100>>,
}

/// What was sold.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sales {
    pub(super) orders: u64,
    pub(super) open: u64,
    pub(super) shipped: u64,
    pub(super) canceled: u64,
    pub(super) revenue: u64,
    pub(super) refunded: u64,
}

/// One message of a feed.
#[derive(Debug, Serialize)]
pub(super) struct FeedEvent {
    pub(super) sequence: u64,
    pub(super) order: OrderId,
    pub(super) status: OrderStatus,
    pub(super) stage: Stage,
    pub(super) total: u64,
}
