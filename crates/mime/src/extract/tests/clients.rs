//! Plain text bodies in the shape that mail clients give them, in many languages.

use super::checks::check_text;

#[test]
fn gmail_bodies_lose_their_quotes() {
    check_text(&[
        // English, wrapped behind the name.
        (
            "Works for me, thanks!\n\nOn Thu, Nov 19, 2026 at 4:12 PM Maria Fernandez-Whitfield <\nmaria.fw@x.test> wrote:\n\n> Hi Tom,\n>\n> could we move it?\n>\n> Maria\n",
            "Works for me, thanks!",
        ),
        // Signature above the quote stays.
        (
            "Let's do it.\n\n-- \nTom Reed\nAcme\n\nOn Thu, Nov 19, 2026 at 4:12 PM Maria <m@x.test> wrote:\n> a\n> b",
            "Let's do it.\n\n-- \nTom Reed\nAcme",
        ),
        (
            "Gern!\n\nAm Do., 19. Nov. 2026 um 16:12 Uhr schrieb Jörg Müller <\njoerg@x.test>:\n\n> Hallo,\n>\n> passt das?\n",
            "Gern!",
        ),
        (
            "Merci beaucoup\n\nLe jeu. 19 nov. 2026 à 16:12, Chloé Dupont <chloe@x.test> a écrit :\n\n> Bonjour,\n> ça va ?\n",
            "Merci beaucoup",
        ),
        (
            "De acuerdo.\n\nEl jue, 19 nov 2026 a las 16:12, José Núñez (<jose@x.test>) escribió:\n\n> Hola\n> ¿Qué tal?\n",
            "De acuerdo.",
        ),
        (
            "Va bene\n\nIl giorno gio 19 nov 2026 alle ore 16:12 Luca Bianchi <luca@x.test>\nha scritto:\n\n> Ciao\n> a domani\n",
            "Va bene",
        ),
        (
            "Pode ser.\n\nEm qui., 19 de nov. de 2026 às 16:12, João Souza <joao@x.test>\nescreveu:\n\n> Oi\n> tudo bem?\n",
            "Pode ser.",
        ),
        (
            "Prima.\n\nOp do 19 nov 2026 om 16:12 schreef Daan de Vries <d@x.test>:\n\n> Hoi\n> kan dat?\n",
            "Prima.",
        ),
        (
            "Zgoda.\n\nczw., 19 lis 2026 o 16:12 Anna Nowak <anna@x.test> napisał(a):\n\n> Cześć\n> pasuje?\n",
            "Zgoda.",
        ),
        (
            "Det går bra.\n\nDen tors 19 nov. 2026 kl 16:12 skrev Åsa Öberg <asa@x.test>:\n\n> Hej\n> funkar det?\n",
            "Det går bra.",
        ),
        (
            "Fint.\n\nDen tor. 19. nov. 2026 kl. 16.12 skrev Søren Bøgh <soren@x.test>:\n\n> Hej\n> går det?\n",
            "Fint.",
        ),
        (
            "好的,谢谢\n\nWang Wei <wang@x.test> 于2026年11月19日周四 16:12写道\u{ff1a}\n\n> 你好\n> 可以吗\n",
            "好的,谢谢",
        ),
        (
            "شكرا\n\nفي الخميس، ١٩ نوفمبر ٢٠٢٦ في ١٦:١٢ تمت كتابة ما يلي بواسطة\u{200f} علي <ali@x.test> كتب:\u{200f}\n\n> مرحبا\n> كيف الحال\n",
            "شكرا",
        ),
        (
            "Tamam.\n\nAyşe Yılmaz <ayse@x.test>, 19 Kas 2026 Per, 16:12 tarihinde şunu yazdı:\n\n> Merhaba\n> olur mu?\n",
            "Tamam.",
        ),
        (
            "Được.\n\nVào Th 5, 19 thg 11, 2026 vào lúc 16:12 Nguyễn An <an@x.test> đã viết:\n\n> Chào\n> được không?\n",
            "Được.",
        ),
        (
            "承知しました。\n\n2026年11月19日(木) 16:12 Sato Ken <sato@x.test>:\n\n> こんにちは\n> どうですか\n",
            "承知しました。",
        ),
        ("Хорошо.\n\nчт, 19 нояб. 2026 г. в 16:12, Иван <ivan@x.test>:\n\n> Привет\n> можно?\n", "Хорошо."),
        (
            "Bine.\n\nÎn joi, 19 nov. 2026 la 16:12, Ion Pop <ion@x.test> a scris:\n\n> Salut\n> merge?\n",
            "Bine.",
        ),
    ]);
}

#[test]
fn outlook_bodies_lose_their_header_blocks() {
    check_text(&[
        (
            "Approved.\n\nKind regards,\nDana\n\nFrom: Lee Park <lee@x.test>\nSent: Thursday, November 19, 2026 4:12 PM\nTo: Dana <dana@x.test>\nSubject: RE: Budget\n\nCould you approve?\n",
            "Approved.\n\nKind regards,\nDana",
        ),
        // Outlook for the web, with the rule above.
        (
            "Approved.\nGet Outlook for iOS<https://aka.x.test/o0ukef>\n________________________________\nFrom: Lee Park <lee@x.test>\nSent: Thursday, November 19, 2026 4:12:09 PM\nTo: Dana\n\nCould you?",
            "Approved.",
        ),
        (
            "Passt.\n\nVon: Jörg Müller <joerg@x.test>\nGesendet: Donnerstag, 19. November 2026 16:12\nAn: Dana\nBetreff: AW: Plan\n\nAlt",
            "Passt.",
        ),
        ("Ok\n\n-----Ursprüngliche Nachricht-----\nVon: Jörg Müller\nGesendet: Donnerstag\n\nAlt", "Ok"),
        (
            "Parfait.\n\nDe : Chloé Dupont <chloe@x.test>\nEnvoyé : jeudi 19 novembre 2026 16:12\nÀ : Dana\nObjet : RE: Plan\n\nVieux",
            "Parfait.",
        ),
        (
            "Perfecto.\n\nDe: José Núñez\nEnviado el: jueves, 19 de noviembre de 2026 16:12\nPara: Dana <dana@x.test>\nAsunto: RE: Plan\n\nViejo",
            "Perfecto.",
        ),
        (
            "Ótimo.\n\nDe: João Souza\nEnviada em: quinta-feira, 19 de novembro de 2026 16:12\nPara: Dana <dana@x.test>\n\nVelho",
            "Ótimo.",
        ),
        (
            "Bene.\n\nDa: Luca Bianchi <luca@x.test>\nInviato: giovedì 19 novembre 2026 16:12\nA: Dana\n\nVecchio",
            "Bene.",
        ),
        (
            "Goed.\n\nVan: Daan de Vries <d@x.test>\nVerzonden: donderdag 19 november 2026 16:12\nAan: Dana\n\nOud",
            "Goed.",
        ),
        (
            "Bra.\n\nFrån: Åsa Öberg <asa@x.test>\nSkickat: den 19 november 2026 16:12\nTill: Dana\n\nGammalt",
            "Bra.",
        ),
        (
            "Fint.\n\nFra: Søren Bøgh <soren@x.test>\nSendt: 19. november 2026 16:12\nTil: Dana\n\nGammelt",
            "Fint.",
        ),
        (
            "好的\n\n发件人: Wang Wei <wang@x.test>\n发送时间: 2026年11月19日 16:12\n收件人: Dana\n\n旧",
            "好的",
        ),
        (
            "See below\n\n*From:* Lee Park\n*Sent:* Thursday, November 19, 2026 4:12 PM\n*To:* Dana\n\nold",
            "See below",
        ),
    ]);
}

#[test]
fn phone_bodies_lose_quotes_and_device_lines() {
    check_text(&[
        // Apple Mail quotes with a space behind the mark, and writes non-breaking spaces.
        (
            "On my way\n\nSent from my iPhone\n\n> On Nov 19, 2026, at 4:12\u{202f}PM, Lee Park <lee@x.test> wrote:\n> \n> \u{feff}Where are you?\n",
            "On my way",
        ),
        (
            "Bis gleich\n\nVon meinem iPhone gesendet\n\n> Am 19.11.2026 um 16:12 schrieb Jörg <j@x.test>:\n> \n> Wo?",
            "Bis gleich\n\nVon meinem iPhone gesendet",
        ),
        (
            "J'arrive\n\n> Le 19 nov. 2026 à 16:12, Chloé <chloe@x.test> a écrit\u{a0}:\n> \n> Où ?",
            "J'arrive",
        ),
        (
            "Yes please\n\nSent from my Galaxy\n\n-------- Original message --------\nFrom: Lee Park <lee@x.test>\nDate: 11/19/26 4:12 PM (GMT+01:00)\nTo: Dana\nSubject: Lunch\n\nLunch?",
            "Yes please",
        ),
        ("Yes\n\nSent from Samsung tabletLee Park <lee@x.test> wrote:Lunch?", "Yes"),
        (
            "Sure\n\nSent from Yahoo Mail on Android\n\n  On Thu, Nov 19, 2026 at 4:12 PM, Lee Park<lee@x.test> wrote:   Lunch?",
            "Sure",
        ),
    ]);
}

#[test]
fn desktop_bodies_lose_their_quotes() {
    check_text(&[
        // Yahoo indents instead of marking.
        (
            "Fine with me.\n    On Thursday, November 19, 2026 at 04:12:09 PM GMT+1, Lee Park <lee@x.test> wrote:  \n \n Lunch?   ",
            "Fine with me.",
        ),
        // Thunderbird.
        ("Fine.\n\nOn 11/19/26 16:12, Lee Park wrote:\n> Lunch?\n> Lee", "Fine."),
        ("Gut.\n\nAm 19.11.26 um 16:12 schrieb Jörg Müller:\n> Mittag?\n> Jörg", "Gut."),
        // Thunderbird as many mailing lists want it: the answer below, the signature last.
        (
            "On 11/19/26 16:12, Lee Park wrote:\n> Lunch?\n> Lee\n\nAt noon.\n\n-- \nDana",
            "At noon.\n\n-- \nDana",
        ),
        // Answers point by point stay as they are.
        (
            "On 11/19/26 16:12, Lee Park wrote:\n> Lunch?\n> At noon?\n\nYes, at noon it is then.\n\n> Pizza?\n> Or pasta?\n\nPasta.",
            "On 11/19/26 16:12, Lee Park wrote:\n> Lunch?\n> At noon?\n\nYes, at noon it is then.\n\n> Pizza?\n> Or pasta?\n\nPasta.",
        ),
        // Zoho.
        ("Ok\n\n---- On Thu, 19 Nov 2026 16:12:09 +0100 Lee Park <lee@x.test> wrote ----\n\nLunch?", "Ok"),
        // ProtonMail.
        (
            "Ok\n\nSent with a secure client.\n\nOn Thursday, November 19th, 2026 at 4:12 PM, Lee Park <lee@x.test> wrote:\n\n> Lunch?\n>\n> Lee",
            "Ok\n\nSent with a secure client.",
        ),
        // A help desk.
        (
            "It works again.\n\n-----Original Message-----\nFrom: Support\nTo: Dana\n\nPlease try again.",
            "It works again.",
        ),
    ]);
}
