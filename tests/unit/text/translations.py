"""Translations by people, and doubtful ones: (source language, target language, source, translation)."""

Pair = tuple[str, str, str, str]

GOOD: list[Pair] = [
    ("en", "de", "I ate an apple and went home.", "Ich aß einen Apfel und ging nach Hause."),
    ("en", "de", "The train leaves at 5:30 p.m.", "Der Zug fährt um 17.30 Uhr ab."),
    ("en", "de", "It costs $1,234.50 per month.", "Es kostet 1.234,50 $ im Monat."),
    ("en", "de", "Angela Merkel", "Angela Merkel"),
    ("en", "de", "Twelve Angry Men", "Die zwölf Geschworenen"),
    ("de", "en", "Geschwindigkeitsbegrenzung", "Speed limit"),
    ("de", "en", "Am 24.12.2023 um 15 Uhr.", "On 24 December 2023 at 3 p.m."),
    ("de", "en", "Nein, nein, nein!", "No, no, no!"),
    ("en", "fr", "He lived in the 19th century.", "Il vécut au XIXe siècle."),
    ("en", "fr", "The population is 1,250,000.", "La population est de 1 250 000 habitants."),
    (
        "en",
        "fr",
        "Hello <b>{name}</b>, see https://example.org/a?b=25",
        "Bonjour <b>{name}</b>, voir https://example.org/a?b=25",
    ),
    ("fr", "en", "Il pleut.", "It is raining."),
    ("fr", "en", "Rendez-vous à 13 h 45.", "Meet at 1:45 pm."),
    ("en", "es", "Yes", "Sí"),
    ("en", "es", "No", "No"),
    ("en", "es", "Ludwig van Beethoven", "Ludwig van Beethoven"),
    ("en", "es", "There are 3 cats and 12 dogs.", "Hay tres gatos y doce perros."),
    ("es", "en", "¿Cuántos años tienes?", "How old are you?"),
    ("en", "it", "Version 2.0.1 of iPhone is out.", "È uscita la versione 2.0.1 di iPhone."),
    ("en", "pt", "The price rose by 3.5%.", "O preço subiu 3,5%."),
    ("en", "ru", "Visual Studio Code runs on Windows 11.", "Visual Studio Code работает в Windows 11."),
    ("en", "ru", "WhatsApp", "WhatsApp"),
    ("en", "ru", "Save the file report_25.pdf now", "Сохраните файл report_25.pdf сейчас"),
    ("ru", "en", "Население — 1 500 000 человек.", "The population is 1,500,000."),
    ("ru", "en", "Да.", "Yes."),
    ("ru", "de", "В XX веке всё было иначе.", "Im 20. Jahrhundert war alles anders."),
    ("en", "zh", "I ate an apple and went home.", "我吃了一个苹果，然后回家了。"),
    ("en", "zh", "Open it with Visual Studio Code.", "用 Visual Studio Code 打开。"),
    ("en", "zh", "About 350,000 people came.", "大约有35万人来了。"),
    ("en", "zh", "It was in the 20th century.", "那是在二十世纪。"),
    ("en", "zh", "Ha ha ha ha!", "哈哈哈哈！"),
    ("en", "zh", "Microsoft Word 2019", "Microsoft Word 2019"),
    ("zh", "en", "他今年25岁，身高1.80米。", "He is 25 years old and 1.8 metres tall."),
    ("zh", "en", "会议在下午3点举行。", "The meeting is at 3 p.m."),
    ("zh", "en", "有1.2亿人。", "There are 120 million people."),
    ("zh", "en", "谢谢", "Thank you very much"),
    ("en", "ja", "The file “notes.txt” was not found.", "ファイル「notes.txt」が見つかりませんでした。"),
    ("en", "ja", "Meet me at 15:00.", "午後3時に会いましょう。"),
    ("ja", "en", "東京は日本の首都です。", "Tokyo is the capital of Japan."),
    ("zh", "ja", "东京大学", "東京大学"),
    ("en", "ko", "I am a student.", "저는 학생입니다."),
    ("en", "ko", "It costs 50,000 won.", "5만 원입니다."),
    ("en", "ar", "The room has 25 chairs.", "في الغرفة ٢٥ كرسيا."),
    ("ar", "en", "صدر الكتاب عام ١٩٩٩.", "The book came out in 1999."),
    ("en", "hi", "He was born in 1947.", "उनका जन्म १९४७ में हुआ था।"),
    ("en", "hi", "The price is 500,000 rupees.", "कीमत 5 लाख रुपये है।"),
    ("hi", "en", "मैंने सेब खाया।", "I ate an apple."),
    ("en", "tr", "See you on 05/10/2024.", "05.10.2024'te görüşürüz."),
    ("en", "el", "Good morning, everyone.", "Καλημέρα σε όλους."),
    ("en", "th", "I would like a cup of coffee, please.", "ขอกาแฟหนึ่งแก้วค่ะ"),
    ("en", "he", "We are closed on Saturdays.", "אנחנו סגורים בשבת."),
    ("en", "pl", "Very, very, very good!", "Bardzo, bardzo, bardzo dobrze!"),
    ("da", "nb", "Jeg bor i en by.", "Jeg bor i en by."),
    ("zh-Hans", "zh-Hant", "我是学生，你好吗", "我是学生，你好吗"),
    ("sr-Latn", "sr-Cyrl", "Dobar dan, kako ste?", "Добар дан, како сте?"),
    ("en", "de", "%d files in {0}: ${total} &amp; more", "%d Dateien in {0}: ${total} &amp; mehr"),
    ("en", "de", "12345", "12345"),
    ("en", "zh", "(C)", "©"),
    ("en", "ko", "FILE", "<파일>"),
    ("en", "nl", "_Paper source:", "Papier_bron:"),
    ("en", "zh", "cannot use --target-directory twice", "无法两次使用 --target-directory"),
    ("en", "ru", "initialize_job_control: line discipline", "initialize_job_control: дисциплина строки"),
    ("en", "de", "There are 2,000,000 people.", "Es gibt 2 Millionen Menschen."),
    ("en", "fr", "About 1.5 million of 20,000,000.", "Environ 1,5 million sur 20 millions."),
    ("ru", "en", "Тогда жило 350 тыс. человек.", "350,000 people lived there then."),
    ("en", "de", "Call 030 12 34 56 at 17:30.", "Rufen Sie um 17.30 Uhr 030 123456 an."),
    ("en", "de", "{name}: https://example.org", "{name}: https://example.org"),
    ("en", "xx", "I do not know this language.", "Не знаю этого языка."),
    ("en", "fr", "- - - - - - -", "- - - - - - -"),
]

#: Sentences of several languages, and what a model made of them that copies.
COPIED: list[Pair] = [
    ("en", "de", text, text)
    for text in [
        "I ate an apple and went home.", "Save file", "good morning", "Please Close The Door Behind You",
        "the End is near",
        "Where are you from?", "It costs 25 euros.", "Hello {name}, how are you?",
    ]
] + [
    ("de", "en", "Der Hund schläft.", "der Hund schläft"),
    ("de", "en", "Ich habe keine Zeit.", "Ich habe keine Zeit"),
    ("fr", "en", "Il pleut beaucoup.", "Il pleut beaucoup."),
    ("fr", "es", "Je ne sais pas.", "Je ne sais pas ."),
    ("es", "en", "¿Qué hora es?", "Qué hora es?"),
    ("it", "en", "Non lo so.", "Non lo so."),
    ("pt", "en", "Onde você mora?", "Onde você mora?"),
    ("ru", "en", "Я не знаю.", "Я не знаю."),
    ("ru", "uk", "Где находится вокзал?", "Где находится вокзал?"),
    ("zh", "en", "我吃了一个苹果。", "我吃了一个苹果。"),
    ("zh", "en", "你好世界", "你好世界"),
    ("ja", "zh", "りんごを食べました。", "りんごを食べました。"),
    ("ja", "en", "ありがとう。", "ありがとう。"),
    ("ko", "en", "저는 학생입니다.", "저는 학생입니다."),
    ("ar", "en", "صباح الخير", "صباح الخير"),
    ("ar", "fa", "أين تقع محطة القطار؟", "أين تقع محطة القطار؟"),
    ("hi", "en", "आप कैसे हैं?", "आप कैसे हैं?"),
    ("tr", "en", "Nasılsınız, iyi misiniz?", "nasılsınız - iyi misiniz"),
    ("pl", "en", "Nie wiem.", "Nie wiem."),
]  # fmt: skip

WRONG_SCRIPT: list[Pair] = [
    ("en", target, source, translation)
    for target in ("zh", "ja", "ru", "ar", "hi", "el")
    for source, translation in [
        ("Please open the file now.", "Open the file."),
        ("The cat sleeps on the mat.", "Die Katze schläft."),
        ("hello", "hello"),
    ]
] + [
    ("zh", "en", "我吃了一个苹果。", "我吃苹果"),
    ("ja", "en", "ありがとう。", "ありがとう"),
    ("ru", "de", "Я не знаю, где он живёт.", "Не знаю, wo он живёт."),
    ("en", "zh", "I do not know where he lives.", "Я не знаю, где он живёт."),
    ("en", "ko", "I am a student of this university.", "私はこの大学の学生です。"),
    ("en", "ja", "I am a student of this university.", "저는 이 대학의 학생입니다."),
    ("en", "ru", "I am a student of this university.", "I am a студент of this university."),
    ("en", "he", "We are closed on Saturdays.", "نحن مغلقون يوم السبت."),
    ("en", "sr-Cyrl", "We are closed on Saturdays.", "Zatvoreni smo subotom."),
    ("en", "th", "I would like a cup of coffee.", "我想要一杯咖啡。"),
]

REPEATS: list[Pair] = [
    ("en", "de", "Where is the station?", f"Wo ist der Bahnhof? {unit * 6}")
    for unit in [
        "der ", "ist der ", "Wo ist der Bahnhof? ", "nein, ", "und dann und ", "auf der anderen Seite ", "ja! ",
        "der Bahnhof von der Stadt in dem Land an ", "x y ", "der. ",
    ]
] + [
    ("zh", "en", "车站在哪里？", unit * 5)
    for unit in ["the ", "Where is the station? ", "station ", "I am a ", "no no ", "The, ", "in the city of the "]
] + [
    ("en", "zh", "Where is the station?", f"车站{unit * 8}")
    for unit in ["在哪里？", "车站", "的的", "在哪里，", "我们要去", "哈哈哈", "一个苹果和"]
] + [
    ("en", "de", "very very good", "sehr " * 12 + "gut"),
    ("en", "th", "Thank you.", "ขอบคุณ" * 6),
    ("ja", "en", "すごい。", "amazinggggggggggggggggggg"),
]  # fmt: skip

_LONG = "The committee met on Monday and decided that the new building will be finished next year at the earliest."
LENGTH: list[Pair] = [
    ("en", target, source, translation)
    for target in ("de", "zh", "ru")
    for source, translation in [
        ("No", " "),
        ("Hello", ""), ("Where are you?", "..."), (_LONG, "a"), (_LONG, "好"), (_LONG, "Да"), ("Yes", _LONG),
        ("Hello", "委员会星期一开会，决定新建筑最早明年完工，所有成员都同意了这个决定，并且签了字。"),
    ]
] + [
    ("zh", "en", "委员会星期一开会，决定新大楼最早明年完工。", "The"),
    ("zh", "en", "好", _LONG),
    ("ja", "en", "りんごを食べました。", " "),
    ("ko", "en", "저는 학생입니다.", "?"),
    ("ru", "en", "Комитет собрался в понедельник и решил построить дом.", "Yes."),
]  # fmt: skip

NUMBERS_LOST: list[Pair] = [
    ("en", "de", "It costs 25 euros.", "Es kostet Euro."),
    ("en", "de", "It costs 25 euros.", "Es kostet 52 Euro."),
    ("en", "de", "It costs 500 euros.", "Es kostet 50 Euro."),
    ("en", "de", "It costs 500 euros.", "Es kostet 5000 Euro."),
    ("en", "de", "It costs $1,234.50.", "Es kostet 1.243,50 $."),
    ("en", "de", "He was born in 1999.", "Er wurde 1989 geboren."),
    ("en", "de", "From 1914 to 1918", "Von 1914 bis 1914"),
    ("en", "de", "It is 25 by 25 metres.", "Es ist 25 Meter lang."),
    ("en", "de", "Call 030 123456.", "Rufen Sie 030 an."),
    ("en", "de", "The train leaves at 5:45.", "Der Zug fährt um fünf."),
    ("en", "fr", "The population is 1,250,000.", "La population est de 1 250."),
    ("en", "fr", "Room 101 is on floor 14.", "La chambre 101."),
    ("en", "fr", "He lived in the 19th century.", "Il vécut au XXe siècle."),
    ("en", "es", "Version 3.14.15 is out.", "Ha salido la versión 3.14."),
    ("en", "es", "On 24 May 2024", "El 24 de mayo"),
    ("en", "ru", "The price rose by 3.5%.", "Цена выросла на 5%."),
    ("en", "ru", "There are 365 days.", "Есть дни."),
    ("en", "ru", "Article 42", "Статья"),
    ("en", "zh", "About 350,000 people came.", "大约有45万人来了。"),
    ("en", "zh", "He is 25 years old.", "他很老。"),
    ("en", "zh", "Highway 66", "公路"),
    ("zh", "en", "他今年25岁。", "He is young."),
    ("zh", "en", "价格是370.24元。", "The price is 370 yuan."),
    ("ar", "en", "صدر الكتاب عام ١٩٩٩.", "The book came out."),
    ("hi", "en", "जन्म १९४७ में हुआ।", "He was born in 1974."),
    ("en", "ja", "The meeting is on page 117.", "会議は１７ページです。"),
    ("en", "ar", "The room has 25 chairs.", "في الغرفة ٥٢ كرسيا."),
]
