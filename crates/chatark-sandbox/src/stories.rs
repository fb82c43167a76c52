//! The shop's everyday conversations, in the languages of its customers.

use serde_json::json;

use crate::truth::{Channel, Contact, Content, Conversation, Feedback, Message, Role, Status, ToolStatus};

/// Returns all everyday conversations, newest first.
pub(crate) fn all() -> Vec<Conversation> {
    let mut all = deliveries();
    all.extend(returns());
    all.extend(payments());
    all.extend(advice());
    all.extend(visits());
    all
}

fn deliveries() -> Vec<Conversation> {
    vec![
        story("Bestellung 1042 nicht angekommen", Channel::Website, Status::Ended)
            .by(person("Ada Beispiel", "ada@example.com", "+15550100"), "DE")
            .greeting()
            .user("Wo bleibt meine Bestellung #1042? 📦")
            .looked_up(ToolStatus::Success)
            .bot("Sie ist unterwegs.\nVoraussichtlich: **24. November**.")
            .rated(0.82, Some(Feedback::Positive))
            .user("Danke schön, „bis dann“!")
            .bot("Gern geschehen!")
            .feedback(Feedback::Positive)
            .rated_stars(5)
            .build(),
        story("Parcel at the neighbour's", Channel::WhatsApp, Status::Ended)
            .by(person("Ben Sample", "", "+15550101"), "US")
            .user("The tracking page says delivered, but there is nothing here.")
            .bot("It was left with your neighbour at number 12, at 14:05.")
            .rated(0.74, None)
            .user("Found it, thank you 👍🏽")
            .build(),
        story("¿Dónde está mi pedido?", Channel::Instagram, Status::Ongoing)
            .by(person("Carla Prueba", "carla@example.org", ""), "ES")
            .user("¿Dónde está mi pedido? Tenía que llegar el martes, ¡y hoy es jueves!")
            .bot("¡Hola, Carla! Está en el centro de reparto; llega mañana.")
            .rated(0.66, None)
            .build(),
        story("ご注文の配送状況", Channel::Website, Status::Ended)
            .by(person("見本 大地", "daichi@example.com", ""), "JP")
            .user("注文番号1077はいつ届きますか。")
            .looked_up(ToolStatus::Success)
            .bot("11月24日(火)の午前中にお届けする予定です。")
            .rated(0.91, Some(Feedback::Positive))
            .user("ありがとうございます。")
            .build(),
        story("أين طلبي؟", Channel::WhatsApp, Status::TakenOver)
            .by(person("فريد مثال", "farid@example.com", "+15550102"), "AE")
            .user("مرحبا 👋 أين طلبي رقم 1090؟")
            .looked_up(ToolStatus::Error)
            .bot("لم أجد الطلب. سأحوّلك إلى زميل.")
            .rated(0.11, Some(Feedback::Negative))
            .negative_feedback()
            .build(),
        story("Wrong address", Channel::Email, Status::Ended)
            .by(person("Grace Sample", "grace@example.org", ""), "GB")
            .user("I typed the wrong street: it is \"Mill Lane 3\", not \"Mill Lane 8\".")
            .bot("Changed, the parcel has not left yet.")
            .rated(0.88, None)
            .noted("Ask the warehouse to print the label again, please.")
            .build(),
        story("Express delivery", Channel::Website, Status::Ended)
            .greeting()
            .user("Can you deliver until tomorrow, 10:00?")
            .bot("With express delivery yes, if you order before 15:00 today.")
            .rated(0.79, None)
            .build(),
    ]
}

fn returns() -> Vec<Conversation> {
    vec![
        story("Refund for the kettle", Channel::Messenger, Status::Ended)
            .by(person("Ivan Tester", "ivan@example.com", ""), "US")
            .user("The kettle has a dent. Can I send it back?")
            .bot("Of course. Here is the label: https://shop.example.com/label?order=1051&size=a4")
            .rated(0.93, Some(Feedback::Positive))
            .tagged(&["refund", "high-priority"])
            .build(),
        story("החזרת מוצר", Channel::Website, Status::Ended)
            .by(person("חנה דוגמה", "hanna@example.com", "+15550103"), "IL")
            .user("שלום, המנורה לא מתאימה. אפשר להחזיר?")
            .bot("כן, בתוך 30 יום. שלחתי לך תווית ל-hanna@example.com.")
            .rated(0.71, None)
            .user("תודה רבה!")
            .build(),
        story("退货", Channel::Website, Status::Ended)
            .by(person("样本 小明", "", "+15550104"), "CN")
            .user("你好,我想退掉蓝色背包,可以吗?")
            .bot("可以,30天内免费退货。请问订单号是多少?")
            .rated(0.69, None)
            .user("1063")
            .looked_up(ToolStatus::Success)
            .bot("已为您登记退货。")
            .build(),
        story("Rückerstattung dauert", Channel::Slack, Status::Ongoing)
            .by(
                Contact {
                    company: Some("Muster & Söhne GmbH".to_owned()),
                    website: Some("https://muster.example.com".to_owned()),
                    address: Some("Musterweg 5\n10115 Berlin".to_owned()),
                    ..person("Jörg Muster", "joerg@example.org", "+15550105")
                },
                "DE",
            )
            .user("Seit zwei Wochen warte ich auf 39,90 €; wo bleibt das Geld?")
            .bot("Das tut mir leid. Die Überweisung wurde heute angestoßen.")
            .rated(0.42, Some(Feedback::Negative))
            .tagged(&["refund", "leave for later", "Größe: XL"])
            .noted("Calls back on Monday;\n\"very patient\", says Ada")
            .build(),
        story("Exchange size", Channel::Instagram, Status::Ended)
            .user("M is too small, can I have L instead?")
            .bot("Yes! Keep the box, the courier swaps it at your door.")
            .rated(0.85, None)
            .build(),
    ]
}

fn payments() -> Vec<Conversation> {
    vec![
        story("Charged twice", Channel::Website, Status::TakenOver)
            .by(person("Kim Example", "kim@example.com", "+15550106"), "US")
            .user("My card was charged twice: -39.90 and -39.90")
            .looked_up(ToolStatus::Pending)
            .bot("I am asking a colleague to look at it.")
            .rated(0.2, None)
            .bot("Hello, this is Ada from the shop. The second charge is a reservation.")
            .user("OK, I will wait.")
            .build(),
        story("Rechnung mit Firmenadresse", Channel::Email, Status::Ended)
            .by(
                Contact {
                    company: Some("Beispiel AG".to_owned()),
                    ..person("Lena Beispiel", "lena@example.org", "")
                },
                "AT",
            )
            .user("Bitte die Rechnung auf „Beispiel AG, Wien“ ausstellen.\n\nGruß\nLena")
            .bot("Erledigt: Sie liegt in Ihrem Postfach.")
            .rated(0.97, Some(Feedback::Positive))
            .build(),
        story("Pago contra reembolso", Channel::WhatsApp, Status::Ended)
            .by(person("Mateo Prueba", "", "+15550107"), "ES")
            .user("¿Puedo pagar al recibir el paquete?")
            .bot("Sí, con un recargo de 4,90 €.")
            .rated(0.8, None)
            .build(),
        story("Gift card", Channel::Website, Status::Ended)
            .greeting()
            .user("My gift card says 'invalid' 😕")
            .bot("The code has sixteen letters, without the hyphens. Could you try again?")
            .rated(0.55, None)
            .user("It works!! 🎉")
            .bot("Lovely 🎁")
            .rated_stars(4)
            .feedback(Feedback::Positive)
            .build(),
        story("Invoice for 2025", Channel::VendorSite, Status::Ended)
            .user("I need all invoices of 2025 for my tax return.")
            .looked_up(ToolStatus::Ignored)
            .bot("You find them in your account under *Orders*, as one PDF.")
            .rated(0.61, None)
            .build(),
    ]
}

fn advice() -> Vec<Conversation> {
    vec![
        story("Which lamp?", Channel::Website, Status::Ongoing)
            .by(person("Nora Sample", "nora@example.com", ""), "US")
            .greeting()
            .user("Which lamp is bright enough for a desk of two metres?")
            .bot("The *Aurora*: 900 lumens, dimmable, 39.90.")
            .rated(0.9, Some(Feedback::Positive))
            .user("Is there a blue one?")
            .bot("Yes, blue and green.")
            .rated(0.77, None)
            .tagged(&["new-lead"])
            .build(),
        story("Rucksack im Flugzeug", Channel::Messenger, Status::Ended)
            .user("Passt der Rucksack unter den Sitz? 🎒✈️")
            .bot("Ja: 40 × 30 × 20 cm.")
            .rated(0.83, None)
            .build(),
        story("子供用の自転車", Channel::Instagram, Status::Ended)
            .user("6歳の子供にはどのサイズがいいですか?")
            .bot("身長が110〜125cmでしたら18インチをおすすめします。")
            .rated(0.72, None)
            .build(),
        story("هدية", Channel::Website, Status::Ended)
            .by(person("سلمى مثال", "salma@example.org", ""), "EG")
            .user("أبحث عن هدية لأمي، حوالي 50 €.")
            .bot("ما رأيك في مصباح «Aurora» باللون الأزرق؟")
            .rated(0.64, None)
            .build(),
        story("Battery or cable?", Channel::WhatsApp, Status::Ended)
            .user("Does the radio run on batteries, or only with the cable?")
            .bot("Both: four AA cells, or USB-C.")
            .rated(0.95, None)
            .build(),
    ]
}

fn visits() -> Vec<Conversation> {
    vec![
        story("营业时间", Channel::Website, Status::Ended)
            .user("你们周日营业吗?")
            .bot("周日休息,周一至周六 9:00–19:00 营业。")
            .rated(0.87, None)
            .build(),
        story("Parking", Channel::Slack, Status::Ended)
            .user("Is there parking next to the shop?")
            .bot("Twelve spaces behind the building, one hour is free.")
            .rated(0.76, None)
            .build(),
        story("Job application", Channel::Email, Status::TakenOver)
            .by(person("Olga Tester", "olga@example.com", "+15550108"), "PL")
            .user("Dear team,\r\n\r\nI would like to work with you.\r\n\r\nKind regards,\r\nOlga")
            .bot("Thank you, Olga! A colleague will write to you this week.")
            .rated(0.33, None)
            .noted("=IMPORTANT= forward to Ben")
            .build(),
        story("Wheelchair access", Channel::Website, Status::Ended)
            .greeting()
            .user("Can I come in with a wheelchair? ♿")
            .bot("Yes, the entrance in Mill Lane has no steps.")
            .rated(0.92, Some(Feedback::Positive))
            .feedback(Feedback::Positive)
            .build(),
        story("Complaint", Channel::Frame, Status::Ended)
            .by(person("Pat Example", "pat@example.com", ""), "CA")
            .user("Third time that nobody answers the phone!!!")
            .bot("I am sorry. Shall we call you back?")
            .rated(0.15, Some(Feedback::Negative))
            .user("+1 555 0109, after 6 pm")
            .negative_feedback()
            .rated_stars(1)
            .tagged(&["bad example"])
            .build(),
    ]
}

/// A conversation under construction.
struct Story(Conversation);

fn story(title: &str, channel: Channel, status: Status) -> Story {
    Story(Conversation {
        title: Some(title.to_owned()),
        channel,
        status: Some(status),
        ..Conversation::default()
    })
}

impl Story {
    fn by(mut self, contact: Contact, country: &str) -> Self {
        self.0.contact = contact;
        self.0.country = Some(country.to_owned());
        self
    }

    fn greeting(self) -> Self {
        self.add(text_message(Role::Assistant, "Hi! What can I help you with?"))
    }

    fn user(self, text: &str) -> Self {
        self.add(text_message(Role::User, text))
    }

    fn bot(self, text: &str) -> Self {
        self.add(text_message(Role::Assistant, text))
    }

    /// Looks up the order with a tool, in a message of its own.
    fn looked_up(self, status: ToolStatus) -> Self {
        self.add(lookup_message(status))
    }

    /// Rates the latest message.
    fn rated(mut self, score: f64, feedback: Option<Feedback>) -> Self {
        if let Some(latest) = self.0.messages.last_mut() {
            latest.score = Some(score);
            latest.feedback = feedback;
        }
        self
    }

    fn feedback(mut self, feedback: Feedback) -> Self {
        self.0.feedback = Some(feedback);
        self
    }

    fn rated_stars(mut self, stars: u8) -> Self {
        self.0.stars = Some(stars);
        self
    }

    fn negative_feedback(self) -> Self {
        self.feedback(Feedback::Negative)
    }

    fn tagged(mut self, tags: &[&str]) -> Self {
        self.0.tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        self
    }

    fn noted(mut self, notes: &str) -> Self {
        self.0.notes = Some(notes.to_owned());
        self
    }

    fn add(mut self, message: Message) -> Self {
        self.0.messages.push(message);
        self
    }

    fn build(self) -> Conversation {
        self.0
    }
}

/// Returns a text message that is sent at its regular time.
pub(crate) fn text_message(role: Role, text: &str) -> Message {
    Message { created_at: Some(0), ..Message::text(role, text) }
}

/// Returns a message that looks up an order with a tool.
pub(crate) fn lookup_message(status: ToolStatus) -> Message {
    let id = format!("call_{}", status.word());
    Message {
        role: Role::Assistant,
        created_at: Some(0),
        content: vec![
            Content::ToolCall {
                id: id.clone(),
                name: "lookup_order".to_owned(),
                input: json!({ "orderId": "1042" }),
            },
            Content::ToolResult {
                id,
                name: "lookup_order".to_owned(),
                status,
                data: (status == ToolStatus::Success)
                    .then(|| json!({ "orderId": "1042", "state": "in_transit", "items": [1, 2] })),
                error: (status == ToolStatus::Error).then(|| "order not found".to_owned()),
            },
        ],
        ..Message::default()
    }
}

/// Returns a fictitious person.
fn person(name: &str, email: &str, phone: &str) -> Contact {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Contact { name: given(name), email: given(email), phone: given(phone), ..Contact::default() }
}
