"""The small words of languages, by which `language_id` tells them apart.

Function words (articles, pronouns, prepositions, auxiliaries) are few, short and in nearly every
sentence, whatever it is about: they tell languages apart where a dictionary of content words would
not, because Darija borrows French nouns freely and hardly ever French function words. To these come
the greetings that make up whole comments. A word of several languages ("de", "la", "ya") stands in
each one's list: it says little, and the other words decide.
"""

# A paragraph for each language, its name first. Latin spelling of Darija is free, so the frequent
# words stand in their frequent variants. "catalan" holds what Galician, Occitan and Romanian share
# with it as well, "dutch" the languages of Scandinavia, "slavic" Hungarian and Albanian.
LISTS = """
french bjr dommage magnifique bienvenue livraison prix salutations superbe sublime joyeux à a sa ta
  le la les un une des du de au aux ce cet cette ces et mais donc car puis ni que qui quoi dont où
  quand comment pourquoi combien je tu il elle on nous vous ils elles moi toi lui eux leur leurs se
  me te y en mon ton son mes tes ses notre votre nos vos suis es est sommes êtes sont étais était
  étaient être été ai avons avez ont avait avaient avoir eu fait faire faut va vais vas vont aller
  peux peut pouvez veux veut voulez dois doit pas plus ne jamais rien personne toujours encore déjà
  très trop bien bon bonne mal peu beaucoup tout tous toute toutes même autre aussi comme si dans
  sur sous avec sans pour par chez entre vers depuis pendant avant après contre ici là oui non voilà
  voici ça cela merci bonjour bonsoir salut bravo félicitations svp stp slt mdr bcp pk pcq tkt jsuis
  cest jai franchement vraiment alors parce ceux celui celle chaque quel quelle quels quelles
  plusieurs aucun aucune frère soeur monsieur madame maintenant demain hier soir matin jour
  toutefois ceci cependant ainsi lors lorsque selon afin sera serait seront étant ayant permet n'est
  etait etais etre ete deja apres tres meme voila pkoi koi jsp bsr rdv mtn tjrs qlq qqn ptdr j' l'
  d' c' n' s' m' t' qu' jusqu' lorsqu' puisqu' quelqu' aujourd' tro meilleur meilleure

arabizi salam slm selem alikoum alikom likom khawti khawa khawtna waldik waldih rahmo lah 3likom
  rani rana rak raki rakom rakoum rahi raho rahou rahom rahoum wach wesh wech wash chkoun chkon
  kifach kifah kifech kifash 3lach alach 3lah alah lach wa9tach winta waktach chhal ch7al ch3al win
  wein winek kima kif bach bech bark barka bezzaf bezaf bzaf bzzaf bezef bzef chwiya chwia chouia
  chwaya chwya walou walo wallah wellah wallahi wlh inchallah nchallah inshallah nshallah hamdoullah
  hamdoulah hamdulillah hamdulilah elhamdoulilah mashallah machallah machaallah tbarkallah allah
  rebi rebbi rabi rabbi yarab yarabi khouya khoya khoia khouia kho khti sahbi saha sahit sa7it sahha
  yemma yema weld wlad bent bnat drari rajel mra nas nass jma3a dork derk drok dorka doka dok darwek
  drwek ghodwa ghedwa ghodoua lbareh elbareh lyoum elyoum lyouma lioum hada hadi hadou hadouk hadak
  hadik hadeka hadika hakda hakka haka hna hnaya hnak tem ntouma ntoma ntaya nta enta nti ntiya
  houwa howa hiya homa houma ana 7na mech mechi machi mazal mazel ghir ghi gha kayen kayn kayna
  makach makanch makaynch kanet kanou kount kont konna konti konto fel fal fih fiha fihom bih biha
  bihom 3la m3a maa wella wela wla hia wala ida ila ya yaw yak yakhi yaakhi hih ih iih lala nta3
  nta3i ta3 te3 ta3i ta3na ta3kom bli taa taak taai tani bssah besah bessah bsah lazem lazmek lazmna
  kamel kolch koulch kolchi gaa gaaa ga3 kan yji yjib jab jat jaw jina rah raha rouh rohi ro7 arwah
  arwahi ndir ndirou tdir ydir dir dirou dert dart daro darou nrouh nrohou yrouh trouh nheb nhab
  t7eb thab yheb habit hab habou nchouf chouf choufou choft cheft nakol nqoul ngoul ygoul goul qoul
  goulou qoulou galou gali gal hdar yahder chafou qal qali galek nqolek nqollek had hadouma lokan
  loukan koun ykoun tkoun nkoun labas labes mlih mliha mlah chbab chaba zin zina mezian khir khayr
  lkhir elkhir sbah sba7 dar eddar ddar darna bled bladi lblad blad dzayer dzair eldjazair l7ouma
  hab9a yatik y3ik ya3tik yaatik yarham yerhem yarhmo yerhmou meskin meskina msakin w f fi men mel
  mn bla mor mour ki li lli elli illi kol koul wahed wahda zouj tlata rabha nhar lil chhar 3am l3am
  hkaya hdra khedma khdma nekhdem yekhdem drahem swalah haja hwayej sob7an sobhan dima dayman daymen
  jib jibou rouhi hadra hadret liya lik bik biya bina fik fiya fina menha menhom mennou choukran
  chokran chukran koulchi mabrouk mabrok sem7ili smahli smehli nadi hablo yhabel yehbel tehbel hayla
  hayel

english the this that these those is are was were been being be have has had does did doing done
  will would could should must i you he she we they them his her hers him our your yours my mine me
  its and or but because if not no nor of to in on at from with by for about into over after before
  as than then so very too just who whom what where why how which when there here more most less all
  any some every each both only also still even much many other another same such own once yes
  please thanks thank hello hi good great nice love like watch watching know think need want make
  made use used best song never always again up out off down do don can cannot get got go one two
  first new people anyone someone lmao omg pls may might their well an it while during between until
  through though comment son men bent win bark fin chat pour car tout man brother i' don' it' can'
  that' you' he' she' we' they' isn' didn' doesn' won' let' what' there' wasn' a

spanish el la los las lo un una unos unas de del al a y e o u que en es se no por con para su sus le
  les me te nos mi mis tu tus si ya pero muy más mas como cuando donde porque sobre entre sin hasta
  desde hay fue era son está están esta este estos estas esto ese esa eso ser ha han he hemos había
  tiene tienen tengo puede pueden hacer hace todo todos toda nada siempre también tambien mejor
  quien qué cómo dónde cuál cual yo él ella ellos usted hola gracias bien así solo sólo otro otra
  dos tres sea ni quiero soy eres buena bueno cada vez años tras durante según ante

italian il lo la i gli le un uno una di del dei della delle dello degli da dal dalla in nel nella
  nelle nei al alla alle ai con su sul sulla per tra fra che chi e ed o ma se non è sono sei ha ho
  hai hanno era essere stato stata come dove quando perché più anche ancora molto tutto tutti questo
  questa quello quella si mi ti ci ne lui lei noi voi loro mio mia tuo sua suo nostra nostro così
  bene grazie ciao a piace ogni solo già quanto dopo prima due cosa fare può deve essi l' d' c' un'
  dell' nell' all' dall' sull' s' m' t' v' quest' com' cos' dov'

portuguese o a os as um uma uns de do da dos das em no na nos nas ao à aos às e ou que se não nem
  por pelo pela para pra com sem mas mais muito muita como quando onde porque sobre entre até já só
  também é são foi era ser está estão esta este isso isto esse essa ele ela eles eu tu você me te
  meu minha seu sua seus tem têm tenho pode podem fazer faz tudo todos nada sempre melhor quem
  obrigado obrigada gosto bom boa há vai vou cada depois ainda mesmo pois qual

catalan el la els les un una uns de del dels al als i o que en es no amb per a ha hi són és si
  aquest aquesta més seu seva pot cap ni unha non ao polo dun coma să nu și pe cu din este sau
  pentru care mai în l' d' s' n' m' t'

german der die das den dem des ein eine einen einem einer und oder aber nicht kein keine ist sind
  war waren wird werden wurde hat haben habe ich du er sie es wir ihr mich mir dich uns sich mit auf
  für von vom zu zum zur im in an am bei nach aus über um wie was wer wo wenn als auch noch nur so
  sehr schon dass doch mein meine dein sein seine ihre mehr kann diese dieser dieses heute hier gut
  danke bitte guten geht alle man

dutch de het een en of maar niet geen is zijn was wordt worden heeft hebben ik je jij hij zij we wij
  van voor met op aan bij naar uit over om te in dat die deze dit als ook nog er wel kan door och
  att det som ett är på av för med den till inte jag du vi har eller men så ikke og af til et jeg
  ved fra skal ut nå når i der vil nu sig sin alle kun

turkish bir bu şu ve veya ile için icin de da mi mı mu mü ki çok cok ne ben sen biz siz o onun bana
  sana beni seni var yok daha en gibi kadar ama değil degil olarak olan oldu olsun olmuş her hiç
  nasıl nasil sonra önce güzel guzel evet hayır kim kaç kac şey tüm allah razı hocam selam merhaba
  eylesin abi kardeşim

slavic i w z na do nie się jest to że po za od o jak ale dla przez oraz są czy tak co ten v s k u je
  se že pro ne jsou si už byl jako ve su li koji ja ona kod të e në dhe një me për nga që nuk është
  ka a az és nem hogy egy meg is el csak on ei että

indonesian yang dan di ke dari ini itu untuk dengan tidak ada akan bisa pada saya kamu dia kami kita
  mereka atau juga sudah telah oleh dalam karena adalah lagi banget terima kasih aku ya kalau tak

hausa da na ta ya wa a ba su ne ce shi ita mu ku za an kuma amma don har sai ga mai masu daga cikin
  wannan wani wata yana suna muna kana ina nan can sun mun kun yi zai ka ki ko kan sosai allah yaya
  kasa kasar kowa

swahili na ya wa kwa ni la za cha vya katika hii hiyo huu hizi huyo yake yao yangu yetu wake wao
  wangu wetu si sana pia kuwa kama lakini au kila hapa sasa hadi kutoka baada kabla kwamba ambayo
  ambao asante habari karibu rafiki ndugu mimi wewe sisi leo jana kesho mwaka watu moja mbili mji

kabyle d n i s ad ur ara deg di seg ɣer ɣef akken amek acu anwa anda akked nekk kečč netta nekni wid
  win tin ayen yal am ma akk agi dagi yella tella llan ass assa tura azul fellawen tanmirt tanemmirt
  talwit a gma yiwen yiwet aṭas atas uqbel arma imi ih

hindi hai hain ka ke ki ko se mein me aur nahi nahin kya ye yeh wo woh bhi bhai bahut ho tha thi kar
  raha rahe rahi hum tum aap mera meri apna apni jo ek
"""
FUNCTION_WORDS = {
    language: frozenset(words) for language, *words in map(str.split, LISTS.strip().split("\n\n"))
}
LANGUAGES_OF: dict[str, list[str]] = {}  # of a word
for _language, _words in FUNCTION_WORDS.items():
    for _word in _words:
        LANGUAGES_OF.setdefault(_word, []).append(_language)

# Function words of standard Arabic that the dialects of the Maghreb do not use, theirs that it does
# not, then words of Persian and Urdu that Arabic does not have, most by their letters (ی, ک, ہ).
# Most function words of Arabic are in no list, as they are shared.
ARABIC_LISTS = """
الذي التي الذين اللذين اللواتي هذه هذان ذلك تلك هؤلاء أولئك ليس ليست لم لن لقد قد سوف إن أن بأن
فإن لأن كأن أنه أنها إنه إنها حيث عندما بينما خلال عبر نحو لدى لكي لكن إذ أم أي أيضا كذلك لذلك نحن
أنتم أنت أين متى ماذا لماذا كم هل تم يتم يمكن يمكنك يجب يجوز جدا حول ضد منذ بين بعض جميع حسب أكثر
أهم الآن أمس إلى عن عند كما وكان يكون تكون ثم دون وقد وهو وهي قال أكد أعلن تقع يعتبر تعتبر يبلغ
السيد

راني راك راكي راه راهي راها راهم رانا راكم راهو رايح رايحة رايحين واش وش علاش كيفاش وقتاش فاش شكون
وين منين وينك قداش شحال كي كيما كيفاه كيفك باش بلي بصح بزاف برك ديما دوك درك ضرك ذرك دروك دوكا
غدوة البارح هاد هاذ هادي هاذي هادو هاذو هادا هاذا هذاك هداك هذيك هكا هاك تاع نتاع متاع ديال تاعي
تاعك تاعو تاعها تاعنا تاعكم تاعهم ديالي ديالك ديالو ديالنا اللي لي ماشي مكاش مكانش ماكانش ماكاش
كاين كاينة كاينين كاش والو حاجة شوية خويا خو خاوتي خاوة ختي يما بابا دراري نتا نتي نتوما حنا احنا
هوما لوكان كون قاع ڨاع گاع كلش كلشي مليح مليحة ملاح شابة صحا صحيت ياك ياو نحب حبيت حاب حابة بغيت
باغي شفت شفتو درت دير ديري ديرو يدير تدير ندير روح روحو قالي قالك قالو لاباس واعر فيسع بكري عندو
وعلاه علاه منو معايا معاك ليا ليك بيا بيه خلي جاي جاية بركا بركاو زعما تاني طوموبيل دراهم الدراهم
هدرة الهدرة يهدر نهدر

است این که چه های هایی می برای خیلی هست نیست چرا کجا چقدر ہے ہیں کا کی کے کو میں سے یہ وہ نہیں بہت
آپ ہوں تھا تھی اچھی اچھا
"""
STANDARD, MAGHREBI, PERSIAN_URDU = map(
    frozenset, map(str.split, ARABIC_LISTS.strip().split("\n\n"))
)
