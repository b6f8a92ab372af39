//! The words that tell, by language. Prepositions that also end whole sentences (German "an", Dutch "op") tell nothing.

/// What is known of a language: words with spaces between them, or phrases with commas. All in lower case, without
/// apostrophes and hyphens.
#[derive(Debug)]
pub(super) struct Words {
    language: &'static str,
    /// More must follow these.
    pub(super) open: &'static str,
    /// Nothing need follow these, though they end with one of the above.
    pub(super) closed: &'static str,
    /// Said while thinking of what to say.
    pub(super) hesitations: &'static str,
    /// Digits by name.
    pub(super) digits: &'static str,
    /// Say that digits follow.
    pub(super) numbers: &'static str,
    /// Say that one listens.
    pub(super) backchannels: &'static str,
}

impl Words {
    /// What is known of the language of a BCP 47 tag; English where nothing is.
    pub(super) fn of(tag: &str) -> &'static Self {
        let primary = tag.split('-').next().unwrap_or_default();
        ALL.iter().find(|words| words.language.eq_ignore_ascii_case(primary)).unwrap_or(&ALL[0])
    }

    /// Whether a list of words has this one.
    pub(super) fn has(list: &str, word: &str) -> bool {
        list.split(' ').any(|listed| listed == word)
    }
}

static ALL: [Words; 7] = [
    Words {
        language: "en",
        open: "and or but so because cause cuz since although while until unless if whether than as like the a \
            an to of for from with without about at by into onto in on between my your his her our their \
            its is are am was were im youre hes shes theyre thats be i we he she they ill id ive well could \
            would should will can may might must shall gonna wanna which whose every number plus dot dash \
            slash",
        closed: "think so, hope so, guess so, suppose so, believe so, said so, you can, you could, you may, \
            i am, it is, they are, i will, i can, i could, i would, we are, that is, she is, he is, we can, \
            very well, as well, log in, come in, go on, come on, just like",
        hesitations: "um uh uhm er erm ah oh eh",
        digits: "zero oh one two three four five six seven eight nine double triple",
        numbers: "number phone code account card zip postcode pin order reference extension digits area policy \
            booking confirmation",
        backchannels: "uhhuh, uh huh, aha, ah, oh, ooh, huh, ok, okay, k, kay, mkay, yes, yeah, yea, yep, yup, ya, \
            right, alright, all right, sure, i see, got it, gotcha, i understand, understood, exactly, \
            of course, great, good, very good, cool, nice, fine, perfect, wow, really, true, makes sense, \
            that makes sense, go on, thats right, thank you, thanks",
    },
    Words {
        language: "de",
        open: "und oder aber weil dass daß wenn ob als wie denn sondern obwohl damit der die das den dem des \
            ein eine einen einem einer mein meine meinen meiner ihr ihre unser unsere ist sind bin war \
            heiße lautet hab habe möchte würde könnte kann will muss soll zum zur von vom für ohne bei beim \
            in im am über seit bis ich wir er sie also dann vielleicht nummer",
        closed: "ich bin, das war, ja bitte, die nummer, der nummer, wie ich, das ist, ich auch",
        hesitations: "äh ähm öh eh hmm tja naja",
        digits: "null eins zwei zwo drei vier fünf sechs sieben acht neun",
        numbers: "nummer telefonnummer kundennummer postleitzahl code pin konto vorwahl plz",
        backchannels: "ja, jaja, jo, jep, okay, ok, aha, ach, ach so, achso, genau, gut, sehr gut, klar, alles klar, \
            verstehe, ich verstehe, verstanden, stimmt, richtig, schön, super, prima, in ordnung, \
            natürlich, danke, mhm, oh, ah",
    },
    Words {
        language: "es",
        open: "y e o u pero porque que si cuando como aunque mientras el la los las un una unos unas mi mis su \
            sus tu tus es son soy era está de del a al para por con sin en sobre entre hasta desde yo \
            quiero quisiera quería puedo tengo número entonces también",
        closed: "creo que sí, yo también, el número, ese número, así es, que es, quién es, sí quiero, sí puedo",
        hesitations: "eh em este pues mmm bueno",
        digits: "cero uno dos tres cuatro cinco seis siete ocho nueve",
        numbers: "número teléfono código cuenta tarjeta postal pin pedido referencia",
        backchannels: "sí, ya, vale, ok, okay, ajá, ah, oh, claro, claro que sí, bien, muy bien, bueno, de acuerdo, \
            entiendo, entendido, exacto, perfecto, correcto, eso, eso es, gracias, genial",
    },
    Words {
        language: "fr",
        open: "et ou mais parce que qui si quand comme car donc puis le la les l un une des du de d mon ma mes \
            votre vos son sa ses notre nos est cest sont suis était à au aux pour par avec sans dans en sur \
            sous chez vers je jai nous il elle voudrais peux numéro alors",
        closed: "je crois que oui, le numéro, ce numéro, je peux, jen suis, je suis là, comme ça",
        hesitations: "euh heu ben bah hum eh",
        digits: "zéro un deux trois quatre cinq six sept huit neuf",
        numbers: "numéro téléphone code compte carte postal commande référence",
        backchannels: "oui, ouais, ok, okay, daccord, ah, ah oui, ah bon, oh, aha, bien, très bien, bien sûr, je vois, \
            je comprends, compris, exactement, voilà, parfait, super, merci, entendu, cest ça",
    },
    Words {
        language: "it",
        open: "e ed o ma però perché che se quando come mentre quindi il lo la i gli le l un uno una mio mia \
            miei suo sua vostro nostro è sono era di del della a al alla da dal in nel con su sul per tra \
            fra io noi vorrei posso ho numero poi allora anche",
        closed: "il numero, quel numero, sì posso, anche io, ci sono, che ore sono, così è",
        hesitations: "eh ehm mah beh cioè uhm",
        digits: "zero uno due tre quattro cinque sei sette otto nove",
        numbers: "numero telefono codice conto carta cap pin ordine prenotazione",
        backchannels: "sì, sí, ok, okay, va bene, bene, molto bene, certo, ah, oh, aha, capisco, capito, ho capito, \
            esatto, giusto, perfetto, daccordo, grazie, ottimo, già",
    },
    Words {
        language: "nl",
        open: "en of maar want omdat dat als dan terwijl hoewel de het een mijn uw jouw zijn haar ons onze is \
            ben was van voor met zonder bij naar tot tussen te ik wij we wil kan zou heb nummer dus ook",
        closed: "dat is, ik ook, het nummer, dat nummer, ik ben, dat kan, als dat kan, ik wil",
        hesitations: "eh uh euh uhm nou tja",
        digits: "nul een twee drie vier vijf zes zeven acht negen",
        numbers: "nummer telefoonnummer code rekening postcode pin bestelling klantnummer",
        backchannels: "ja, jaja, jawel, oke, oké, ok, okay, aha, ah, oh, goed, heel goed, prima, precies, klopt, \
            juist, ik snap het, snap ik, ik begrijp het, begrepen, natuurlijk, mooi, dank je, dank u, \
            bedankt",
    },
    Words {
        language: "pt",
        open: "e ou mas porque que se quando como enquanto o a os as um uma meu minha seu sua nosso nossa é \
            são sou era está de do da dos das para pra por com sem em no na até sobre eu nós quero queria \
            gostaria posso tenho número então também",
        closed: "o número, esse número, eu também, acho que sim, sim quero, sim posso, como está, eu sou",
        hesitations: "éh eh hã bom então tipo ahn",
        digits: "zero um dois três quatro cinco seis meia sete oito nove",
        numbers: "número telefone código conta cartão cep senha pedido reserva",
        backchannels: "sim, tá, tá bom, tá bem, está bem, ok, okay, aham, ah, oh, certo, claro, entendi, entendo, \
            isso, isso mesmo, exato, perfeito, beleza, muito bem, pois, pois é, obrigado, obrigada",
    },
];
