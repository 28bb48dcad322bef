"""Rows as people write them, labeled before the detector saw them; nothing was tuned on these."""

HELD_OUT = """
arabic|كاين شي ناس ما يعرفوش قيمة الدراهم حتى يخلاصو
arabic|عيشك خويا على المعلومة، ربي يجازيك
arabic|اليوم ولدي دخل للمدرسة أول مرة وبكيت كثر منو
arabic|ڨالولي بلي الطريق مسدودة من جيهة تيزي وزو
arabic|أعلنت الوزارة عن فتح باب التسجيل أمام الطلبة الجدد.
arabic|إِنَّ مَعَ الْعُسْرِ يُسْرًا
arabic|ههههههههههههه قتلتني بالضحك يا راجل
arabic|تحياااااااتي لكل الشعب الجزائري 🇩🇿🇩🇿🇩🇿
arabic|السعر ولا ٢٥٠٠ دينار، وين رايحين
arabic|ﺻﺒﺎﺡ ﺍﻟﺨﻴﺮ ﻋﻠﻴﻜﻢ
arabic|صح
arabic|اللهم صل وسلم على نبينا محمد ﷺ
arabic|شكون راه يتفرج في 2024؟؟؟
arabic|الرقم هو 0550 12 34 56 عيطولي بعد المغرب
arabic|@karim213 راك غالط يا صاحبي
arabic|شوفو هنا https://example.org/video?id=3 راهي مليحة
arabic|مبروووووك عليكم النجاااااح
arabic|واش \u200fتحسب\u200e روحك
arabic|#تحيا_الجزائر
arabic|پاپا جابلنا الڤاطو من الخدمة
arabizi|wach bik khoya, 3lah rak z3fan
arabizi|tfarajt f had l video 10 marat w mazelt nedhak
arabizi|chhal yeswa hada f soug
arabizi|rabi yehfdek khti w yfarhek
arabizi|ma kanch li yefhem had lhadra
arabizi|makanch kima lblad
arabizi|wellah ma na3ref wach nqolek
arabizi|ki rak dayer, ça va hamdoullah
arabizi|jib m3ak el khobz ki tji
arabizi|hadek el joueur mechi normal, yel3ab kima messi
arabizi|koun jit f blastek nbi3ha w nethena
arabizi|saha 3idkoum gaa3
arabizi|lukan ghir jaw kamel kima nta
arabizi|ysalmek khouya l3ziz
arabizi|bghit nas9si 3la les prix ta3 had tomobil
arabizi|nchalah tkoun bkhir
arabizi|3jebni bezzaf
arabizi|dirou j'aime l had la page bach tewsel
arabizi|kayen wahed l problème f connexion ta3i
arabizi|hhhhh dahaktni m3a sbah
french|Je suis tombé sur cette vidéo par hasard et je ne regrette pas
french|Quelle honte, nos routes sont dans un état catastrophique ؟؟
french|Bonne continuation à toute l'équipe
french|Qui regarde encore en 2024 ?
french|ptdr j'en peux plus de ce mec
french|Mes condoléances à la famille, qu'Allah l'accueille en son vaste paradis
french|Vous êtes le meilleur chanteur du Maghreb
french|svp le nom de la musique à 2:35
french|Elle habite à Tizi Ouzou depuis 15 ans.
french|Magnifique ville d'Oran, j'y retourne cet été inchallah
french|tu as raison mon pote
french|C'EST VRAIMENT N'IMPORTE QUOI !!!!!!
french|Le gouvernement a annoncé une hausse des salaires de 5% dès janvier،
french|Merciiii
french|respect à vous
french|Les élèves attendent le 2ème trimestre avec impatience
french|pk personne ne dit rien sur ce sujet
french|Très bonne explication
french|J'ai commandé un poulet à la crème 😋😋😋
french|\ufeffUn grand merci pour votre travail
mixed|درت commande البارح وما وصلتش
mixed|نحب le foot بصح ما نعرفش نلعب
mixed|c'est vrai كلامك صحيح
mixed|واش من application تستعمل للمونتاج؟
mixed|On est ensemble خاوتي، ربي معاكم
mixed|rani نقولك الصح ya khouya
mixed|كاين بزاف les problèmes في هاذ le système
mixed|الفيديو top راك شابة
mixed|خلصت la facture تاع الما و l'électricité
mixed|عندي rendez-vous مع le dentiste غدوة
other|؟؟؟!!!
other|🔥🔥🔥🔥🔥
other|2024/11/21 18:30
other|۱۲۳۴
other|https://www.example.com/watch?v=dQw4w9WgXcQ
other|Who is still watching this in 2024?
other|The weather was nice so we went to the beach.
other|Greetings from Morocco, we love you brothers
other|haha lol xD
other|Это очень красивая песня
other|とても素晴らしい
other|La casa de mi hermano es muy bonita pero está lejos
other|...
other|\u200b\u200f \u00a0
other|❤️❤️❤️ 100%
other|What a goal!!!
arabic|معندناش الحق نهدرو في بلادنا
arabic|أستاذة هل هذا الدرس مقرر في البكالوريا؟
arabic|راجلي ما يحبش الحار، نقدر نديرها بلا فلفل؟
arabic|واعرررررررررر
arabic|كانت ليلة ما ننساهاش طول حياتي
arabic|إن شاء الله تعود المياه إلى مجاريها
arabic|كاش واحد جرب هاد الدوا؟
arabic|عيينا من الكذب، نحبو الصراحة
arabic|هاذي هي الهدرة الصحيحة، برافو عليك
arabic|راااااائع
arabic|عندنا مثل يقول اللي خانوه ذراعو يقول مسحور
arabizi|rohna lel hôpital w ma l9inach tbib
arabizi|nchallah tarbah f hyatek
arabizi|hadou nass ma ye7achmouch
arabizi|mazalek hay ya kho?
arabizi|hadik lmra t9ra w tkhdem w trabi wladha
arabizi|7ab nwelli nel3ab kima mahrez
arabizi|lala
arabizi|la3ziz rabi yrahmou
arabizi|jibna 3chra kilo batata w zouj basla
arabizi|lyoum rani marid ma nkhdemch
arabizi|sahit khouya mliiiih
arabizi|ki nchouf had tsawer nebki
arabizi|wah kho ga3 nass 3labalha
french|c koi cette musique de fond
french|Est-ce que quelqu'un a le lien du fichier
french|\u200eVous avez raison\u200e, il faut agir
french|super vidéo
french|Ce joueur mérite sa place en équipe nationale
french|d'accord
french|Pouvez-vous mettre les ingrédients dans la description svp ؟
french|Que Dieu lui accorde sa miséricorde
french|Les jeunes n'ont plus d'espoir dans ce pays
french|encore une fois la douane a bloqué mon colis
mixed|J&#39;aime هذا البرنامج بزاف
mixed|bsahtek خويا تستاهل
mixed|شكرا merci thank you
mixed|راني نخدم développeur web في شركة صغيرة
mixed|حبيت نشري un téléphone portable بصح الدراهم ماكانش
other|youtu.be/xyz987
other|Tudert d tasarut n umdan
other|😭
other|Bu şarkının adı ne?
other|Muy buena receta
other|\ufeff...
other|🔥🔥🔥🔥
other|Che bella voce, mi fa piangere ogni volta
other|can someone translate please
other|***
other|Danke für das Rezept, es war sehr lecker
"""


def labeled() -> list[tuple[str, str]]:
    """Each row's language and text, escapes spelled out."""
    lines = [line.split("|", 1) for line in HELD_OUT.strip().split("\n")]
    marks = {"\\u200b": "\u200b", "\\u200e": "\u200e", "\\u200f": "\u200f"}
    marks |= {"\\ufeff": "\ufeff", "\\u00a0": "\u00a0"}
    for mark, character in marks.items():
        lines = [[language, text.replace(mark, character)] for language, text in lines]
    return [(language, text) for language, text in lines]
