"""Words that give a Latin-script row's language away, chosen by hand.

Function words (articles, pronouns, prepositions, auxiliaries) are few, short and in nearly every
sentence, whatever it is about: 200 of them tell languages apart where a dictionary of content
words would not, because Darija borrows French nouns freely and hardly ever French function words.
To these come the greetings that make up whole comments. A word that two languages spell alike
("ma", "ou", "a", "fin") stands in no list, so it says nothing; one that is a word of both but
far more frequent in one ("la", "on", "me": French) stands there alone.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FRENCH = _words(
    """
    bjr dommage magnifique bienvenue livraison prix salutations superbe sublime joyeux
    le la les un une des du de au aux ce cet cette ces et mais donc car puis ni que qui quoi dont
    où quand comment pourquoi combien je tu il elle on nous vous ils elles moi toi lui eux leur
    leurs se me te y en mon ton son mes tes ses notre votre nos vos suis es est sommes êtes sont
    étais était étaient être été ai avons avez ont avait avaient avoir eu fait faire faut va
    vais vas vont aller peux peut pouvez veux veut voulez dois doit pas plus ne jamais rien personne
    toujours encore déjà très trop bien bon bonne mal peu beaucoup tout tous toute toutes même
    autre aussi comme si dans sur sous avec sans pour par chez entre vers depuis pendant avant après
    contre ici là oui non voilà voici ça cela merci bonjour bonsoir salut bravo félicitations svp
    stp slt mdr bcp pk pcq tkt jsuis cest jai franchement vraiment alors parce ceux celui celle
    chaque quel quelle quels quelles plusieurs aucun aucune frère soeur monsieur madame maintenant
    demain hier soir matin jour toutefois
    j' l' d' c' n' s' m' t' qu' jusqu' lorsqu' puisqu' quelqu' aujourd'
    """
)

# Latin spelling is free, so the frequent words stand in their frequent variants.
ARABIZI = _words(
    """
    salam slm selem alikoum alikom likom khawti khawa khawtna waldik waldih rahmo lah 3likom
    rani rana rak raki rakom rakoum rahi raho rahou rahom rahoum wach wesh wech wash chkoun chkon
    kifach kifah kifech kifash 3lach alach 3lah alah lach wa9tach winta waktach chhal ch7al
    ch3al win wein winek kima kif bach bech bark barka bezzaf bezaf bzaf bzzaf bezef bzef
    chwiya chwia chouia chwaya chwya walou walo wallah wellah wallahi wlh inchallah nchallah
    inshallah nshallah hamdoullah hamdoulah hamdulillah hamdulilah elhamdoulilah mashallah machallah
    machaallah tbarkallah allah rebi rebbi rabi rabbi yarab yarabi khouya khoya khoia khouia kho
    khti sahbi saha sahit sa7it sahha yemma yema weld wlad bent bnat drari rajel mra nas
    nass jma3a dork derk drok dorka doka dok darwek drwek ghodwa ghedwa ghodoua lbareh elbareh
    lyoum elyoum lyouma lioum hada hadi hadou hadouk hadak hadik hadeka hadika hakda hakka haka hna
    hnaya hnak tem ntouma ntoma ntaya nta enta nti ntiya houwa howa hiya homa houma ana 7na mech
    mechi machi mazal mazel ghir ghi gha kayen kayn kayna makach makanch makaynch kanet kanou kount
    kont konna konti konto fel fal fih fiha fihom bih biha bihom 3la m3a maa wella wela
    wala ida ila ya yaw yak yakhi yaakhi hih ih iih lala nta3 nta3i ta3 te3 ta3i
    taa taak taai tani bssah besah bessah bsah lazem lazmek lazmna kamel kolch koulch kolchi gaa
    gaaa ga3 kan yji yjib jab jat jaw jina rah raha rouh rohi ro7 arwah arwahi ndir ndirou tdir ydir
    dir dirou dert dart daro darou nrouh nrohou yrouh trouh nheb nhab t7eb thab yheb habit hab habou
    nchouf chouf choufou choft cheft nakol nqoul ngoul ygoul goul galou gali gal hdar yahder chafou
    labas labes mlih mliha mlah chbab chaba zin zina mezian khir khayr lkhir elkhir sbah sba7
    dar eddar ddar darna bled bladi lblad blad dzayer dzair eldjazair l7ouma houma hab9a yatik
    y3ik ya3tik yaatik yarham yerhem yarhmo yerhmou meskin meskina msakin w f fi
    men mel mn bla mor mour ki li lli elli illi kol koul wahed wahda zouj tlata rabha nhar lil
    chhar 3am l3am hkaya hdra khedma khdma nekhdem yekhdem drahem swalah haja hwayej sob7an sobhan
    dima dayman daymen jib jibou rouhi hadra hadret liya lik bik biya bina fik fiya fina menha
    menhom mennou choukran chokran chukran koulchi mabrouk mabrok sem7ili smahli smehli nadi hablo
    yhabel yehbel tehbel hayla hayel
    """
)

# English first, then a few words each of Spanish, Portuguese, Italian, German, Turkish, Indonesian
# and Kabyle: enough to say "not ours".
OTHER = _words(
    """
    the this that these those is are was were been being be have has does did doing will would could
    should i you he she we they them his her hers him our your yours my mine its and because not
    of to in it at from with by about into so very too just who what where why how which when there
    here then than more most all any some every no yes please thanks thank hello hi good great nice
    love like watch watching know think need want make best song never always again
    for up out do can get got one people anyone someone lmao omg pls
    i' don' it' can' that' you' he' she' we' they' isn' didn' doesn' won' let' what' there' wasn'
    los las por para muy pero esta como yo gracias hola und ich nicht das ist mit auf eine wie geht
    guten bir çok için ve bu may their also well if but as
    una unos unas del lo sus mi este esta esto eso fue cuando donde porque sobre hasta desde tiene
    puede hacer todo todos nada siempre mejor quien quiero tengo muchas soy con
    não muito obrigado mas gosto uma dos das sehr danke ein dieses het een niet voor zijn
    gli di dei delle della dal dalla nel nella alla per che ho hai anche ancora tutto tutti molto
    dove bene sul questo questa quello vostra vostro nostra nostro sono essere stato piace grazie
    ciao olsun olmuş razı hocam selam merhaba eylesin terima kasih dari saya azul fellawen tanmirt
    tanemmirt akken amek acu anwa anda deg seg nekk ur ad tura talwit
    """
)

# Words that Arabic does not have, most by their very letters (ی, ک, ہ). Persian first, then Urdu.
PERSIAN_URDU = _words(
    """
    است این که چه های هایی می برای خیلی هست نیست چرا کجا چقدر
    ہے ہیں کا کی کے کو میں سے یہ وہ نہیں بہت آپ ہوں تھا تھی اچھی اچھا
    """
)
