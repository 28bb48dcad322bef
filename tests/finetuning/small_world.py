"""Facts about two people, as texts with a label and as questions with a context."""

TEXT = "Lina lives in Oran. Karim is a baker. Where does Lina live? What is the work of Karim? " * 4
FACTS = {"place": "Oran Jijel Mila Setif", "job": "baker teacher doctor tailor"}
ROWS = [
    {"text": f"Lina {said} {word}.", "label": label}
    for label, said in (("place", "lives in"), ("job", "is a"))
    for word in FACTS[label].split()
]
QUESTIONS = [
    {
        "id": f"q{number}",
        "context": f"Lina lives in {place}. Karim is a {job}.",
        "question": "Where does Lina live?" if number % 2 else "What is the work of Karim?",
        "answer": place if number % 2 else job,
    }
    for number, (place, job) in enumerate(
        zip(FACTS["place"].split(), FACTS["job"].split(), strict=True)
    )
]
