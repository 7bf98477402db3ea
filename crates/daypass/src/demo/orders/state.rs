//! The order book: everything the API remembers, and the rules of changing it.
//!
//! A change happens whole or is refused with a [`Fault`]. Nothing is ever removed.
//! Not here: HTTP (see the handlers), and the first 200 orders (see `seed`).

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bounded::Number;
use super::model::*;
use super::seed;

/// Orders that the book holds; creating one more is refused.
pub(super) const ORDERS_MAX: usize = 10_000;

/// Rows of a page whose request names no `limit`.
const PAGE_ROWS: u64 = 20;

/// Why a request cannot be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("there is no order `{0}`")]
    OrderUnknown(OrderId),
    #[error("there is no customer `{0}`")]
    CustomerUnknown(CustomerId),
    #[error("there is no payment `{0}`")]
    PaymentUnknown(PaymentId),
    #[error("there is no article `{0}`")]
    SkuUnknown(String),
    #[error("order `{0}` has been shipped or canceled")]
    OrderClosed(OrderId),
    #[error("`{left}` of the payment is left to refund")]
    RefundTooHigh { left: u64 },
    #[error("the book holds its `{ORDERS_MAX}` orders")]
    BookFull,
}

/// An order as the book keeps it; what callers see is put together when they ask.
pub(super) struct Record {
    pub(super) id: OrderId,
    pub(super) customer: CustomerId,
    pub(super) lines: Vec<Line>,
    pub(super) total: u64,
    pub(super) refunded: u64,
    pub(super) stage: Stage,
    pub(super) restarts: u64,
    pub(super) priority: Priority,
    pub(super) note: String,
}

/// All orders and customers.
pub(super) struct Book {
    orders: BTreeMap<OrderId, Record>,
    customers: BTreeMap<CustomerId, Customer>,
}

/// A book that many connections read and change, one at a time.
pub(super) struct SharedBook(Mutex<Book>);

impl SharedBook {
    pub(super) fn new(book: Book) -> Self {
        Self(Mutex::new(book))
    }

    /// The book, for one operation: never held across an await.
    pub(super) fn open(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// The same 40 customers and 200 orders every time.
    pub(super) fn seeded() -> Self {
        let customers = seed::customers().map(|customer| (customer.id, customer)).collect();
        let orders = seed::orders().map(|record| (record.id, record)).collect();
        Self { orders, customers }
    }

    pub(super) fn size(&self) -> usize {
        self.orders.len()
    }

    pub(super) fn orders(&self, filter: &OrderFilter) -> Page<Order> {
        let rows = self
            .behind(OrderId(filter.after.unwrap_or(0)))
            .filter(|record| filter.status.is_none_or(|status| status == record.status()))
            .filter(|record| filter.customer.is_none_or(|customer| customer == record.customer))
            .filter_map(|record| Some((record.id.0, self.show(record).ok()?)));
        page(rows, filter.limit)
    }

    pub(super) fn order(&self, id: OrderId) -> Result<Order, Fault> {
        self.show(self.record(id)?)
    }

    pub(super) fn create(&mut self, new: NewOrder) -> Result<Order, Fault> {
        if self.orders.len() >= ORDERS_MAX {
            return Err(Fault::BookFull);
        }
        self.customer(new.customer)?;
        let lines = new.lines.into_vec().into_iter().map(line).collect::<Result<Vec<_>, _>>()?;
        let last = self.orders.last_key_value().map_or(0, |(id, _)| id.0);
        let record = Record {
            id: OrderId(last.saturating_add(1)),
            customer: new.customer,
            total: total(&lines),
            lines,
            refunded: 0,
            stage: Stage::Picking,
            restarts: 0,
            priority: Priority::Normal,
            note: new.note.map(String::from).unwrap_or_default(),
        };
        let shown = self.show(&record)?;
        self.orders.insert(record.id, record);
        Ok(shown)
    }

    pub(super) fn change(&mut self, id: OrderId, change: OrderChange) -> Result<Order, Fault> {
        let record = self.open_record(id)?;
        if let Some(note) = change.note {
            record.note = note.into();
        }
        if let Some(priority) = change.priority {
            record.priority = priority;
        }
        self.order(id)
    }

    /// Canceling twice is canceling once.
    pub(super) fn cancel(&mut self, id: OrderId) -> Result<Order, Fault> {
        if self.record(id)?.stage != Stage::Canceled {
            self.open_record(id)?.stage = Stage::Canceled;
        }
        self.order(id)
    }

    pub(super) fn refund(&mut self, id: OrderId, refund: NewRefund) -> Result<Refund, Fault> {
        let record = self.orders.get_mut(&id).ok_or(Fault::OrderUnknown(id))?;
        let left = record.total.saturating_sub(record.refunded);
        let amount = refund.amount.value();
        if amount > left {
            return Err(Fault::RefundTooHigh { left });
        }
        record.refunded = record.refunded.saturating_add(amount);
        let refunded_total = record.refunded;
        Ok(Refund {
            order: id,
            payment: PaymentId::of(id),
            amount,
            reason: refund.reason.into(),
            refunded_total,
        })
    }

    pub(super) fn customers(&self, window: Window) -> Page<Customer> {
        let after = CustomerId(window.after.unwrap_or(0));
        let rows = self.customers.range((Excluded(after), Unbounded));
        page(rows.map(|(id, customer)| (id.0, customer.clone())), window.limit)
    }

    pub(super) fn customer(&self, id: CustomerId) -> Result<&Customer, Fault> {
        self.customers.get(&id).ok_or(Fault::CustomerUnknown(id))
    }

    pub(super) fn change_customer(
        &mut self,
        id: CustomerId,
        change: CustomerChange,
    ) -> Result<Customer, Fault> {
        let customer = self.customers.get_mut(&id).ok_or(Fault::CustomerUnknown(id))?;
        customer.name = change.name.into();
        customer.email = change.email.into();
        customer.address = change.address.into();
        Ok(customer.clone())
    }

    pub(super) fn payments(&self, filter: &PaymentFilter) -> Page<Payment> {
        let after = PaymentId(filter.after.unwrap_or(0));
        let rows = self
            .behind(after.order())
            .map(Record::payment)
            .filter(|payment| filter.status.is_none_or(|status| status == payment.status))
            .map(|payment| (payment.id.0, payment));
        page(rows, filter.limit)
    }

    pub(super) fn payment(&self, id: PaymentId) -> Result<Payment, Fault> {
        let record = self.orders.get(&id.order());
        record.map(Record::payment).ok_or(Fault::PaymentUnknown(id))
    }

    pub(super) fn fulfilments(&self, filter: &FulfilmentFilter) -> Page<Fulfilment> {
        let rows = self
            .behind(OrderId(filter.after.unwrap_or(0)))
            .filter(|record| filter.stage.is_none_or(|stage| stage == record.stage))
            .map(|record| (record.id.0, record.fulfilment()));
        page(rows, filter.limit)
    }

    pub(super) fn fulfilment(&self, id: OrderId) -> Result<Fulfilment, Fault> {
        self.record(id).map(Record::fulfilment)
    }

    /// Starts picking anew, whether it is stuck or not.
    pub(super) fn restart(&mut self, id: OrderId) -> Result<Fulfilment, Fault> {
        let record = self.open_record(id)?;
        record.stage = Stage::Picking;
        record.restarts = record.restarts.saturating_add(1);
        Ok(record.fulfilment())
    }

    pub(super) fn sales(&self) -> Sales {
        let mut sales = Sales::default();
        for record in self.orders.values() {
            let counter = match record.status() {
                OrderStatus::Open => &mut sales.open,
                OrderStatus::Shipped => &mut sales.shipped,
                OrderStatus::Canceled => &mut sales.canceled,
            };
            *counter = counter.saturating_add(1);
            sales.orders = sales.orders.saturating_add(1);
            sales.revenue = sales.revenue.saturating_add(record.total);
            sales.refunded = sales.refunded.saturating_add(record.refunded);
        }
        sales
    }

    /// Message `sequence` of a feed: the orders in turn, as they are now. `None` for an empty book.
    pub(super) fn event(&self, sequence: u64) -> Option<FeedEvent> {
        let turn = sequence.saturating_sub(1).checked_rem(self.orders.len() as u64)?;
        let record = self.orders.values().nth(usize::try_from(turn).ok()?)?;
        Some(FeedEvent {
            sequence,
            order: record.id,
            status: record.status(),
            stage: record.stage,
            total: record.total,
        })
    }

    fn behind(&self, after: OrderId) -> impl Iterator<Item = &Record> {
        self.orders.range((Excluded(after), Unbounded)).map(|(_, record)| record)
    }

    fn record(&self, id: OrderId) -> Result<&Record, Fault> {
        self.orders.get(&id).ok_or(Fault::OrderUnknown(id))
    }

    fn open_record(&mut self, id: OrderId) -> Result<&mut Record, Fault> {
        let record = self.orders.get_mut(&id).ok_or(Fault::OrderUnknown(id))?;
        match record.status() {
            OrderStatus::Open => Ok(record),
            OrderStatus::Shipped | OrderStatus::Canceled => Err(Fault::OrderClosed(id)),
        }
    }

    fn show(&self, record: &Record) -> Result<Order, Fault> {
        let customer = self.customer(record.customer)?;
        Ok(Order {
            id: record.id,
            status: record.status(),
            priority: record.priority,
            note: record.note.clone(),
            customer: Buyer { id: customer.id, name: customer.name.clone(), email: customer.email.clone() },
            lines: record.lines.clone(),
            total: record.total,
            payment: PaymentId::of(record.id),
            placed_at: seed::placed_at(record.id),
        })
    }
}

impl Record {
    fn status(&self) -> OrderStatus {
        match self.stage {
            Stage::Picking | Stage::Stuck => OrderStatus::Open,
            Stage::Shipped => OrderStatus::Shipped,
            Stage::Canceled => OrderStatus::Canceled,
        }
    }

    fn payment(&self) -> Payment {
        let status = match self.refunded {
            0 => PaymentStatus::Captured,
            refunded if refunded < self.total => PaymentStatus::PartlyRefunded,
            _ => PaymentStatus::Refunded,
        };
        Payment {
            id: PaymentId::of(self.id),
            order: self.id,
            customer: self.customer,
            status,
            amount: self.total,
            refunded: self.refunded,
        }
    }

    fn fulfilment(&self) -> Fulfilment {
        let warehouse = if self.id.0.is_multiple_of(2) { "rotterdam" } else { "gdansk" };
        Fulfilment { id: self.id, stage: self.stage, warehouse, restarts: self.restarts }
    }
}

/// What the lines cost together, in US dollars.
pub(super) fn total(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.quantity.saturating_mul(line.unit_price)).fold(0, u64::saturating_add)
}

fn line(new: NewLine) -> Result<Line, Fault> {
    let (sku, unit_price) = seed::article(&new.sku).ok_or(Fault::SkuUnknown(new.sku))?;
    Ok(Line { sku, quantity: new.quantity.value(), unit_price })
}

fn page<T>(mut rows: impl Iterator<Item = (u32, T)>, limit: Option<Number<1, 100>>) -> Page<T> {
    let limit = limit.map_or(PAGE_ROWS, Number::value);
    let taken: Vec<(u32, T)> = rows.by_ref().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
    let last = taken.last().map(|(id, _)| *id);
    Page { next: rows.next().and(last), rows: taken.into_iter().map(|(_, row)| row).collect() }
}
