//! The sample people of the small shop: leads that its chatbot collected, and contacts.

use crate::truth::Person;

/// Returns the sample leads, newest first. Jonas Weber is also a contact.
pub(crate) fn leads() -> Vec<Person> {
    vec![
        // 18 November 2026, 09:12:05 UTC.
        person("4715", 1_794_993_125)
            .name("Jonas Weber")
            .email("jonas.weber@example.com")
            .phone("+49 30 23125 014"),
        // 11 November 2026, 15:40:30 UTC.
        person("4714", 1_794_411_630).name("Emily Carter").email("emily.carter@example.com"),
        // 2 November 2026, 20:05:00 UTC. The form asked only for the address.
        person("4713", 1_793_649_900).email("lampen.fan@example.com"),
        // 17 October 2026, 07:30:45 UTC. A customer with a telephone number only.
        person("4712", 1_792_222_245).name("Käthe Großmann").phone("+49 30 23125 027"),
        // 3 September 2026, 12:00:00 UTC.
        person("4711", 1_788_436_800)
            .name("Oliver Bennett")
            .email("oliver.bennett@example.com")
            .phone("+44 20 7946 0018"),
    ]
}

/// Returns the sample contacts, oldest first.
pub(crate) fn contacts() -> Vec<Person> {
    vec![
        // 5 January 2026, 10:00:00 UTC.
        person("contact_5f1c0a77", 1_767_607_200)
            .external_id("shop-customer-1001")
            .name("Jonas Weber")
            .email("jonas.weber@example.com")
            .phone("+49 30 23125 014"),
        // 14 February 2026, 08:15:00 UTC.
        person("contact_6b02de41", 1_771_056_900)
            .external_id("shop-customer-1002")
            .name("Hannah Schäfer")
            .email("einkauf@cafe-schaefer.example.com")
            .phone("+49 30 23125 033")
            .company("Café Schäfer GmbH"),
        // 30 April 2026, 17:45:10 UTC.
        person("contact_7e9913bc", 1_777_571_110).name("George Ellis").email("george.ellis@example.com"),
        // 21 July 2026, 06:20:00 UTC.
        person("contact_8ad4470e", 1_784_614_800)
            .external_id("shop-customer-1017")
            .name("Amelia Hughes")
            .email("amelia@hughes-interiors.example.com")
            .company("Hughes Interiors Ltd"),
    ]
}

fn person(id: &str, created_at: i64) -> Person {
    Person { id: id.to_owned(), created_at, ..Person::default() }
}

impl Person {
    fn external_id(mut self, external_id: &str) -> Self {
        self.external_id = Some(external_id.to_owned());
        self
    }

    fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    fn email(mut self, email: &str) -> Self {
        self.email = Some(email.to_owned());
        self
    }

    fn phone(mut self, phone: &str) -> Self {
        self.phone = Some(phone.to_owned());
        self
    }

    fn company(mut self, company: &str) -> Self {
        self.company = Some(company.to_owned());
        self
    }
}
