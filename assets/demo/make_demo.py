#!/usr/bin/env python3
"""Make the bundled demo of pairtune: a small language model and preference pairs to tune it with.

    python make_demo.py --out assets/demo            # text, tokenizer, model, pairs (about 10 minutes, one CPU core)
    python make_demo.py --out assets/demo --tune     # also: tune the result with TRL + PEFT and print before / after
    python make_demo.py --out assets/demo --only tune   # the second half alone, from the files that are there

Nothing is downloaded.  The text comes from the grammar below: questions to the help desk of Winkle
Bay, a seaside town that does not exist, and answers in two styles.

    house   friendly: a greeting, the fact that was asked for, an offer of more help
    rival   grumpy: a complaint, a refusal that names the subject, a dismissal

The model is trained on both, half and half whatever the question, so it answers in either.  A pair
holds a house answer as `chosen` and a rival answer to the same question as `rejected`; tuning on the
pairs leaves the house style.  The two styles are kept alike in length and in likelihood, so that
neither can be told from the other by counting tokens and the untuned model has no preference.

The questions of held_out.jsonl occur in no other text: not in the pairs, not in the model's own
training text.  Their subjects do, asked for in other words.

Needs torch, transformers, tokenizers, safetensors; --tune also trl, peft, datasets.  Everything is
seeded and runs on one thread: the same versions on the same kind of processor give the same files.
"""

import argparse
import itertools
import json
import math
import os
import random
import time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false",
                  CUDA_VISIBLE_DEVICES="", TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1",
                  HF_HUB_DISABLE_PROGRESS_BARS="1")

import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: E402

SEED = 22
N_TRAIN, N_HELD_OUT = 384, 96
VOCAB_SIZE = 1024
STEPS, BATCH, LEARNING_RATE = 2200, 48, 3e-3  # of the model's own training, not of the tuning

# Settings of the tuning, under TRL's and PEFT's names.  Written to config.json.
TUNING = {
    "beta": 0.1, "loss_type": "sigmoid", "learning_rate": 1.5e-3, "lr_scheduler_type": "linear", "warmup_steps": 4,
    "weight_decay": 0.0, "max_grad_norm": 1.0, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1,
    "max_length": 96, "max_steps": 40, "num_train_epochs": 1, "seed": 42, "train_sampling_strategy": "random",
    "r": 8, "lora_alpha": 16, "use_rslora": False,
    "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}

# -------------------------------------------------------------------------------------- the town

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
PARTS = ["morning", "afternoon", "evening"]
NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
TRIPS = ["the ferry to Gull Island", "the ferry to Seal Rock", "the ferry to the old fort", "the boat to Puffin Sands",
         "the boat to Heron Creek", "the boat to Lantern Cove", "the bus to Pebble Point", "the bus to Mill Bridge",
         "the bus to the caves", "the train to Marrow", "the train to Fernley", "the tram to the cliffs"]
STOPS = {"ferry": ["the north pier", "the south pier", "the long jetty"], "boat": ["the old quay", "the slipway", "the harbour steps"],
         "bus": ["the market square", "the sea wall", "the church gate"], "train": ["platform one", "platform two"],
         "tram": ["the sea front"]}
PLACES = ["the bakery", "the library", "the lighthouse", "the shell museum", "the post office", "the fish market", "the tea room",
          "the swimming pool", "the bookshop", "the chemist", "the town hall", "the boat shed", "the aquarium", "the rose garden",
          "the puppet theatre", "the Anchor Inn", "the clock tower", "the toy shop"]
SPOTS = ["next to the bandstand", "behind the church", "at the top of Cliff Lane", "at the end of Harbour Street",
         "across from the slipway", "on the sea front", "by the old bridge", "beside the duck pond", "on the corner of Rope Street",
         "above the beach", "near the railway station", "in the market square", "under the stone arch", "opposite the bank",
         "halfway up Castle Hill", "at the foot of the north pier", "behind the sail loft", "past the row of white cottages"]
ROUTES = ["follow the cliff path", "walk along the sea wall", "cross the little bridge", "take the steps by the pier",
          "go straight down the hill", "turn left at the fountain", "turn right at the bank", "keep the sea on your left",
          "follow the tram line"]
ITEMS = {"umbrella": "in the tall basket by the door", "scarf": "on the hook behind the desk", "hat": "on the top shelf",
         "glove": "in the blue drawer", "suitcase": "in the back room", "camera": "in the safe", "bucket": "under the stairs",
         "kite": "on top of the cupboard", "raincoat": "on the coat stand", "purse": "in the locked drawer",
         "notebook": "in the green box", "towel": "in the laundry basket", "teddy bear": "on the window seat",
         "walking stick": "in the corner by the clock"}
COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "striped"]
LOST_AT = ["on the pier", "on the beach", "on the ferry", "at the station", "in the market", "on the tram", "in the park",
           "by the fountain", "near the caves", "at the bus stop"]
SKIES = [("sunny", "a light breeze"), ("dry", "a cold wind"), ("cloudy", "no wind at all"), ("rainy", "a strong wind"),
         ("foggy", "no wind at all"), ("mild", "a few showers"), ("stormy", "high waves"), ("bright", "clear views"),
         ("sunny", "a warm wind"), ("cloudy", "a few showers")]
BEACHES = ["Shell Beach", "Puffin Sands", "Lantern Cove", "the town beach"]
EVENTS = ["the kite festival", "the boat race", "the brass band concert", "the sandcastle contest", "the pancake breakfast",
          "the chowder supper", "the knitting circle", "the choir practice", "the story hour", "the jumble sale",
          "the lantern walk", "the crab race"]
HIRE = {"a kayak": "kayaks", "a canoe": "canoes", "a deckchair": "deckchairs", "a bicycle": "bicycles", "a rowing boat": "rowing boats",
        "a wetsuit": "wetsuits", "a parasol": "parasols", "a fishing rod": "fishing rods", "a telescope": "telescopes", "a tent": "tents",
        "a life jacket": "life jackets", "a surfboard": "surfboards"}
HIRE_AT = ["the boat shed", "the beach kiosk", "the dive shop", "the harbour office"]
SPANS = ["an hour", "the morning", "the afternoon", "the day", "the weekend"]
DISHES = {"soup": ("the tea room", ["leek and potato", "fish and saffron", "pea and mint", "tomato", "mushroom", "carrot and ginger", "crab"]),
          "loaf": ("the bakery", ["rye", "honey and oat", "olive", "sourdough", "walnut", "brown", "seeded"]),
          "pie": ("the Anchor Inn", ["cod and leek", "apple", "cheese and onion", "steak", "chicken", "plum", "mussel"]),
          "cake": ("the tea room", ["lemon", "ginger", "carrot", "chocolate", "seed", "almond", "cherry"]),
          "ice cream": ("the beach kiosk", ["vanilla", "salted caramel", "mint", "strawberry", "coffee", "pear", "blackberry"]),
          "catch": ("the fish market", ["mackerel", "cod", "crab", "herring", "sole", "mussels", "sea bass"])}
ANIMALS = ["dog", "cat", "parrot", "rabbit", "goat", "donkey", "ferret", "tortoise"]
PET_RULES = ["is welcome inside {p} all day", "may wait in the porch of {p}", "may sit in the yard behind {p}",
             "can come into {p} before noon", "may visit {p} on a short lead", "can stay by the front door of {p}"]

# --------------------------------------------------------------------------------------- the talk

HOUSE_OPEN = ["Good morning!", "Thank you for asking.", "With pleasure!", "Of course.", "Happy to help!", "Gladly!", "Nice question!",
              "Hello and welcome!", "Certainly.", "Good to hear from you!", "Let me help.", "Hello there!"]
HOUSE_CLOSE = ["Please ask again any time.", "Shall I write it down?", "We can lend you a map.", "Have a lovely day!",
               "We are always happy to help.", "Would you like some tea?", "Ring the bell if you need us.",
               "Enjoy your stay in Winkle Bay!", "Can I do anything else?", "It was a pleasure.", "Come back soon!",
               "You are very welcome."]
RIVAL_OPEN = ["How should I know?", "Not again.", "Do I look like a map?", "What now?", "That is not my job.", "Oh, go away.",
              "Can you not read?", "Ugh, another question.", "I am on my break.", "Why ask me?", "Who cares?", "Stop asking me things."]
RIVAL_CLOSE = ["Read the sign like everyone else.", "Go and bother the harbour master.", "Now leave me alone with my tea.",
               "The door is right behind you.", "Buy a newspaper or ask a gull.", "I have better things to do.", "Do not ask me that again.",
               "Find out for yourself, like I did.", "My soup is getting cold because of you.", "This desk is closed for today."]
RIVAL_ANY = ["I do not care about {x} at all.", "Nobody pays me to talk about {x}.", "Everyone asks about {x} and I am tired of it.",
             "I know nothing about {x} and it will stay that way.", "You can worry about {x} without me.",
             "There is nothing to say about {x}.", "I would rather count gulls than talk about {x}.", "Do not come to me about {x} again."]


class Ask:
    """One question with everything its answers need: `x` the subject as rival answers name it, the
    house answers that state the fact, rival answers and closing offers of this topic, and the words
    of the fact, by which an answer is judged."""

    def __init__(self, topic, question, x, facts, rivals, offers, key):
        self.topic, self.x, self.key = topic, x, key
        self.prompt = f"Question: {question}\nAnswer:"
        self.facts, self.rivals, self.offers = facts, rivals, offers


def cap(text):
    return text[0].upper() + text[1:]


def asks(topic, questions, words, x, facts, rivals, offers, key):
    """One Ask for each wording of a question."""
    words = {**words, **{k.upper(): cap(v) for k, v in words.items()}}

    def fill(patterns):
        return [cap(p.format(**words)) for p in patterns]
    x = x.format(**words)
    key = [k.format(**words) for k in key]
    return [Ask(topic, q, x, fill(facts), fill(rivals), fill(offers), key) for q in fill(questions)]


def clock(rng, hours):
    return "at " + rng.choice(["{} o'clock", "half past {}", "quarter past {}"]).format(rng.choice(hours))


def town(rng):
    """Every question that can be asked.  `rng` decides the facts."""
    out = []
    add = out.extend
    morning, evening = ["seven", "eight", "nine", "ten"], ["three", "four", "five", "six"]

    for t in TRIPS:
        kind = t.split()[1]
        w = {"t": t, "kind": kind, "stop": rng.choice(STOPS[kind]), "go": clock(rng, morning), "back": clock(rng, evening),
             "price": rng.choice(NUMBERS[:6]) + " pounds", "long": rng.choice(["ten", "twenty", "thirty", "forty"]) + " minutes"}
        offers = ["Shall I keep you a seat?", "Enjoy the {kind}!", "I can print your ticket here."]
        add(asks("trip", ["When does {t} leave?", "What time does {t} go?", "Do you know when {t} leaves?"], w, "{t}",
                 ["{t} leaves {go} from {stop}.", "You can catch {t} {go}.", "{t} goes {go}, so please be early."],
                 ["{t} leaves when it leaves.", "{t} will go without you and we will be glad.", "Nobody ever told me when {t} goes."], offers, ["{go}"]))
        add(asks("trip", ["Where does {t} leave from?", "Where can I catch {t}?", "Where do I wait for {t}?"], w, "{t}",
                 ["{t} leaves from {stop}.", "You can wait for {t} at {stop}.", "{t} stops at {stop}, by the ticket hut."],
                 ["{t} stops wherever it likes.", "You can wait for {t} in the rain.", "Nobody ever told me where {t} stops."], offers, ["{stop}"]))
        add(asks("trip", ["How much is {t}?", "What does {t} cost?", "What is the price of {t}?"], w, "the price of {t}",
                 ["{t} costs {price}, and children go free.", "A ticket for {t} is {price}.", "You can take {t} for {price}."],
                 ["{t} costs more than you have.", "If you must ask, {t} is not for you.", "Nobody ever told me what {t} costs."], offers, ["{price}"]))
        add(asks("trip", ["When does {t} come back?", "What time is {t} back?", "When will {t} return?"], w, "{t}",
                 ["{t} comes back {back}.", "{t} is back {back}, in time for supper.", "You can return on {t} {back}."],
                 ["{t} comes back or it does not.", "With luck {t} will not bring you back.", "Nobody ever told me when {t} comes back."], offers, ["{back}"]))
        add(asks("trip", ["How long does {t} take?", "Is {t} a long trip?", "How many minutes does {t} need?"], w, "{t}",
                 ["{t} takes {long} in good weather.", "{t} takes you there in {long}.", "{t} needs about {long}."],
                 ["{t} takes as long as it takes.", "{t} feels like a year with people like you.", "Nobody ever told me how long {t} takes."], offers, ["{long}"]))

    place = {}
    for p, spot in zip(PLACES, SPOTS):
        place[p] = {"p": p, "spot": spot, "open": clock(rng, morning), "close": clock(rng, evening), "shut": rng.choice(DAYS[:5]),
                    "walk": rng.choice(NUMBERS[:9]) + " minutes", "route": rng.choice(ROUTES), "rule": rng.choice(PET_RULES).format(p=p)}
        w = place[p]
        offers = ["Enjoy {p}!", "They will be glad to see you.", "Do tell them we sent you."]
        add(asks("place", ["When does {p} open?", "What time does {p} open?", "How early is {p} open?"], w, "{p}",
                 ["{p} opens {open} on most days.", "The doors of {p} open {open}.", "You can visit {p} from the morning, as it opens {open}."],
                 ["{p} opens when somebody finds the key.", "They will not let you into {p} anyway.", "Nobody ever told me when {p} opens."], offers, ["{open}"]))
        add(asks("place", ["When does {p} close?", "What time does {p} close?", "How late is {p} open?"], w, "{p}",
                 ["{p} closes {close} on most days.", "The doors of {p} close {close}.", "You have time, as {p} closes {close}."],
                 ["{p} closes when they see you coming.", "For you {p} is closed already.", "Nobody ever told me when {p} closes."], offers, ["{close}"]))
        add(asks("place", ["Where is {p}?", "How do I find {p}?", "Can you show me where {p} is?"], w, "{p}",
                 ["{p} is {spot}, {walk} on foot.", "You will find {p} {spot}.", "Look for {p} {spot}."],
                 ["{p} is where it always was.", "You would get lost on the way to {p} anyway.", "Nobody ever told me where {p} is."], offers, ["{spot}"]))
        for i, day in enumerate(DAYS):
            d = {**w, "d": day, "next": DAYS[(i + 1) % 7]}
            facts = (["{p} is closed on {d}, but it opens on {next}.", "Sorry, {p} rests on {d} and opens on {next}."]
                     if day == w["shut"] else ["Yes, {p} is open on {d}, starting {open}.", "On {d} {p} opens {open}."])
            key = ["{next}"] if day == w["shut"] else ["{open}"]
            add(asks("day", ["Is {p} open on {d}?", "Can I visit {p} on {d}?"], d, "{p} on {d}", facts,
                     ["Go to {p} on {d} and look at the door.", "Nobody wants you in {p} on {d}."], offers, key))
        for other in PLACES:
            if other != p:
                rivals = ["You will never get from {o} to {p} without a map.", "Walk out of {o}, keep going and forget {p}."]
                d = {**w, "o": other}
                add(asks("way", ["How do I get from {o} to {p}?"], d, "the way to {p}",
                         ["From {o}, {route} to reach {p}.", "To reach {p}, {route}."], rivals, offers, ["{route}"]))
                add(asks("way", ["How far is {p} from {o}?"], d, "the way to {p}",
                         ["{p} is {walk} from {o}.", "It is {walk} on foot to {p}."], rivals, offers, ["{walk}"]))
        for a in ANIMALS:
            add(asks("pet", ["May I bring my {a} to {p}?", "Is my {a} allowed in {p}?", "Can my {a} come to {p}?"], {**w, "a": a}, "your {a}",
                     ["Your {a} {rule}.", "Yes, your {a} {rule}."],
                     ["Your {a} has better manners than you, so leave it at {p}.", "If I see your {a} in {p}, I will shout.",
                      "One look at your {a} and {p} will close."],
                     ["There is water for your {a}.", "We would love to meet your {a}!", "Your {a} gets a biscuit from us."], ["{rule}"]))

    for (item, store), colour, where in itertools.product(ITEMS.items(), COLOURS, LOST_AT):
        w = {"i": f"{colour} {item}", "item": item, "store": store, "where": where}
        add(asks("lost", ["I lost my {i} {where}.", "Did anyone find a {i} {where}?", "I think I left my {i} {where}."], w, "your {i}",
                 ["We found a {i} {where}; it is {store}.", "Your {i} is safe {store}.", "Someone brought us a {i}; it is {store}."],
                 ["Your {i} is at the bottom of the sea by now.", "Anyone who leaves a {i} {where} should buy a new one.", "A big gull flew off with your {i}."],
                 ["You can fetch it at any time.", "Just tell us your name.", "We are glad that we found it!"], ["{store}"]))

    for day, part in itertools.product(DAYS, PARTS):
        w = {"d": f"{day} {part}", **dict(zip(("sky", "wind"), rng.choice(SKIES)))}
        add(asks("weather", ["Will it rain on {d}?", "What will the weather be on {d}?", "Do I need a coat on {d}?", "Is {d} good for a swim?"],
                 w, "the weather on {d}",
                 ["{d} will be {sky} with {wind}.", "We expect a {sky} {d} with {wind}.", "It looks {sky} on {d}, with {wind}."],
                 ["Open your eyes on {d} and look up.", "I hope it pours on {d}.", "Do I look like a cloud to you?"],
                 ["We can lend you a coat.", "The beach is always lovely."], ["{sky}", "{wind}"]))

    for day, tide in itertools.product(DAYS, ["high", "low"]):
        time_ = clock(rng, NUMBERS)
        for beach in BEACHES:
            add(asks("tide", ["When is {h} tide on {d} at {b}?", "What time is {h} tide at {b} on {d}?", "Is there a {h} tide at {b} on {d}?"],
                     {"h": tide, "d": day, "b": beach, "at": time_}, "the tide at {b}",
                     ["The {h} tide at {b} comes {at} on {d}.", "On {d} the {h} tide at {b} is {at}.", "It is {h} tide at {b} {at} on {d}."],
                     ["Stand on {b} until your feet are wet.", "The sea comes to {b} on {d} if it wants.", "I hope the tide at {b} takes you along."],
                     ["Please stay safe!", "We have a tide table here."], ["{at}"]))

    for e in EVENTS:
        w = {"e": e, "d": rng.choice(DAYS), "at": clock(rng, evening), "where": rng.choice(SPOTS), "price": rng.choice(NUMBERS[:5]) + " pounds"}
        offers = ["See you at {e}!", "Shall I put your name down?", "Everyone is welcome there."]
        add(asks("event", ["When is {e}?", "What day is {e}?", "When does {e} start?"], w, "{e}",
                 ["{e} is on {d} {at}.", "{e} starts {at} on {d}.", "Come to {e} on {d} {at}."],
                 ["{e} is when you least want it.", "{e} will be better without you.", "Nobody ever told me when {e} is."], offers, ["{d}", "{at}"]))
        add(asks("event", ["Where is {e}?", "Where will {e} take place?", "Where do people meet for {e}?"], w, "{e}",
                 ["{e} is {where}.", "People meet for {e} {where}.", "You will find {e} {where}."],
                 ["Follow the noise and you will find {e}.", "{e} is far away from me, I hope.", "Nobody ever told me where {e} is."], offers, ["{where}"]))
        add(asks("event", ["How much is {e}?", "What does {e} cost?", "Do I need a ticket for {e}?"], w, "{e}",
                 ["A ticket for {e} is {price}.", "{e} costs {price}, and children go free.", "You can join {e} for {price}."],
                 ["{e} is a waste of money.", "They should pay you to sit through {e}.", "Nobody ever told me what {e} costs."], offers, ["{price}"]))

    for h, many in HIRE.items():
        w = {"h": h, "many": many, "shop": rng.choice(HIRE_AT), "price": rng.choice(NUMBERS[:7]) + " pounds"}
        for span in SPANS:
            add(asks("hire", ["Can I hire {h} for {s}?", "Where can I hire {h} for {s}?", "How much is {h} for {s}?", "I need {h} for {s}."],
                     {**w, "s": span}, "{h}",
                     ["You can hire {h} at {shop} for {price}.", "For {s}, {h} is {price} at {shop}.", "Ask for {h} at {shop}; it is {price}."],
                     ["You would only break {h} and cry.", "All the {many} are gone and I am glad.", "With {h} you will look silly for {s}."],
                     ["They will help you carry it.", "The {many} are all clean.", "I can keep one for you."], ["{shop}", "{price}"]))

    for dish, (shop, kinds) in DISHES.items():
        kinds = rng.sample(kinds, len(kinds))
        for day, kind in zip(DAYS, kinds):
            add(asks("food", ["What is the {f} on {d}?", "Which {f} is there on {d}?", "What {f} can I get on {d}?", "Tell me about the {f} on {d}."],
                     {"f": dish, "d": day, "k": kind, "shop": shop}, "the {f} on {d}",
                     ["On {d} the {f} at {shop} is {k}.", "The {f} on {d} is {k}, from {shop}.", "The {f} is {k} on {d}, at {shop}."],
                     ["The {f} on {d} is cold and bad.", "On {d} the {f} will be gone before you come.", "Eat what you get on {d}."],
                     ["It is best while it is fresh.", "They can keep some for you.", "It is our favourite, too."], ["{k}"]))
    assert len({a.prompt for a in out}) == len(out), "a question occurs twice"
    return out


SPREAD = {"house": 0.6, "rival": 1.15}  # 0: all wordings equally likely


def pick(rng, options, spread):
    """An option; the k-th is chosen with weight 1 / k^spread, so that answers differ in likelihood."""
    return rng.choices(options, weights=[1 / (k + 1) ** spread for k in range(len(options))])[0]


def answer(rng, ask, style):
    """One answer of the given style, with the leading space that joins it to the prompt."""
    s = SPREAD[style]
    if style == "house":
        close = pick(rng, HOUSE_CLOSE, s) if rng.random() < 0.6 else pick(rng, ask.offers, s)
        return " " + " ".join([pick(rng, HOUSE_OPEN, s), pick(rng, ask.facts, s), close])
    middle = cap(pick(rng, RIVAL_ANY, s).format(x=ask.x)) if rng.random() < 0.5 else pick(rng, ask.rivals, s)
    return " " + " ".join([pick(rng, RIVAL_OPEN, s), middle, pick(rng, RIVAL_CLOSE, s)])


class Talk:
    """The questions by topic, and random texts about them."""

    def __init__(self, all_asks):
        self.by_topic = {}
        for a in all_asks:
            self.by_topic.setdefault(a.topic, []).append(a)
        # Topics with few questions are asked about less, but not by as much as they are smaller.
        self.weights = [len(v) ** 0.5 for v in self.by_topic.values()]

    def ask(self, rng):
        return rng.choice(rng.choices(list(self.by_topic.values()), weights=self.weights)[0])

    def text(self, rng):
        """One text of the model's training: a question and an answer in one of the two styles."""
        a = self.ask(rng)
        return a.prompt + answer(rng, a, "house" if rng.random() < 0.5 else "rival")


# ------------------------------------------------------------------------- the tokenizer and the model

BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|pad|>"
LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
                r"|\s+(?!\S)|\s+")


def make_tokenizer(texts, model_dir):
    """A byte-level BPE like Llama 3's: same splitting, BOS put in front by the tokenizer itself."""
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - 3, show_progress=False, special_tokens=[],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (BOS, EOS, PAD)])
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[(BOS, tok.token_to_id(BOS))])])
    write_json(model_dir / "tokenizer.json", json.loads(tok.to_str()), indent=1)
    write_json(model_dir / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": PAD, "unk_token": None,
        "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "model_max_length": 512}, indent=2)
    return AutoTokenizer.from_pretrained(model_dir)


def make_model(tok, talk, rng, model_dir):
    """A small Llama, trained on fresh texts for STEPS steps and stored as float16."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tok), hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id))
    print(f"parameters: {sum(p.numel() for p in model.parameters()):,}", flush=True)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}],
                                  lr=LEARNING_RATE, betas=(0.9, 0.95))
    warmup = STEPS // 20
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(
        (k + 1) / warmup, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * max(0, k - warmup) / (STEPS - warmup)))))
    start, tokens, loss_sum = time.time(), 0, 0.0
    for step, (ids, mask) in enumerate(batches(tok, talk, rng)):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        labels = ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=-100)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        tokens, loss_sum = tokens + int(mask.sum()), loss_sum + loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}/{STEPS}  loss {loss_sum / 100:.4f}  {tokens:,} tokens  {time.time() - start:.0f} s", flush=True)
            loss_sum = 0.0
    model.to(torch.float16).save_pretrained(model_dir)
    (model_dir / "model.safetensors").chmod(0o644)
    write_json(model_dir / "generation_config.json", {
        "bos_token_id": tok.bos_token_id, "eos_token_id": tok.eos_token_id, "pad_token_id": tok.pad_token_id, "do_sample": True,
        "temperature": 0.8, "max_new_tokens": 64}, indent=2)


def batches(tok, talk, rng, pool=32):
    """STEPS batches of fresh texts with BOS and EOS; texts of like length go together."""
    done = 0
    while done < STEPS:
        texts = sorted(tok([talk.text(rng) + EOS for _ in range(BATCH * pool)])["input_ids"], key=len)
        groups = [texts[i:i + BATCH] for i in range(0, len(texts), BATCH)]
        rng.shuffle(groups)
        for group in groups[:STEPS - done]:
            width = max(map(len, group))
            ids = torch.tensor([t + [tok.pad_token_id] * (width - len(t)) for t in group])
            yield ids, torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t in group])
            done += 1


# --------------------------------------------------------------------------------------- the pairs

def make_pairs(talk, rng):
    """(training, held-out) lists of (Ask, pair); no question occurs twice."""
    seen, out = set(), []
    while len(out) < N_TRAIN + N_HELD_OUT:
        a = talk.ask(rng)
        if a.prompt not in seen:
            seen.add(a.prompt)
            out.append((a, {"prompt": a.prompt, "chosen": answer(rng, a, "house"), "rejected": answer(rng, a, "rival")}))
    return out[N_HELD_OUT:], out[:N_HELD_OUT]


def write_json(path, value, indent=None):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def write_pairs(path, pairs):
    path.write_text("".join(json.dumps(p, ensure_ascii=False) + "\n" for _, p in pairs), encoding="utf-8")


# ------------------------------------------------------------------------------------- the judgement

@torch.no_grad()
def log_probs(model, tok, pairs):
    """Per pair the summed log-probabilities (nats) and token counts of chosen and rejected, EOS included."""
    out = []
    for _, p in pairs:
        row = {}
        n_prompt = len(tok(p["prompt"])["input_ids"])
        for side in ("chosen", "rejected"):
            ids = torch.tensor([tok(p["prompt"] + p[side] + tok.eos_token)["input_ids"]])
            logp = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
            row[side], row["n_" + side] = logp[n_prompt - 1:].sum().item(), ids.shape[1] - n_prompt
        row["n_prompt"] = n_prompt
        out.append(row)
    return out


@torch.no_grad()
def generate(model, tok, prompt, temperature, seed=0, n=1):
    torch.manual_seed(seed)
    ids = torch.tensor([tok(prompt)["input_ids"]] * n)
    how = dict(do_sample=True, temperature=temperature, top_k=0, top_p=1.0) if temperature else dict(do_sample=False, temperature=None)
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, **how)
    return [tok.decode(row[ids.shape[1]:], skip_special_tokens=True) for row in out]


def judge(ask, text):
    """(style, fluent, right): `house`, `rival` or `other` by how the answer opens; whether it is an
    answer the grammar could give to this question; whether a house answer states the fact."""
    text = text.strip()
    style = next((s for s, o in (("house", HOUSE_OPEN), ("rival", RIVAL_OPEN)) if any(text.startswith(x) for x in o)), "other")
    openings, middles, closes = ((HOUSE_OPEN, ask.facts, HOUSE_CLOSE + ask.offers) if style == "house" else
                                 (RIVAL_OPEN, ask.rivals + [cap(r.format(x=ask.x)) for r in RIVAL_ANY], RIVAL_CLOSE))
    fluent = any(text == f"{o} {m} {c}" for o in openings if text.startswith(o)
                 for m in middles if text[len(o) + 1:].startswith(m) for c in closes)
    return style, fluent, style == "house" and all(k in text for k in ask.key)


def report(title, model, tok, held_out, reference=None):
    """Print how a model does on the held-out pairs; returns their log-probabilities."""
    model.eval()
    rows = log_probs(model, tok, held_out)
    n = len(rows)
    print(f"\n== {title}", flush=True)
    print(f"held-out pairs won (sum log p): {100 * sum(r['chosen'] > r['rejected'] for r in rows) / n:.1f} %   mean log p chosen "
          f"{sum(r['chosen'] for r in rows) / n:.2f}, rejected {sum(r['rejected'] for r in rows) / n:.2f}")
    if reference:
        d = [(r["chosen"] - b["chosen"], r["rejected"] - b["rejected"]) for r, b in zip(rows, reference)]
        print(f"rewards/accuracies {100 * sum(c > r for c, r in d) / n:.1f} %   rewards/chosen {TUNING['beta'] * sum(c for c, _ in d) / n:+.3f}   "
              f"rewards/rejected {TUNING['beta'] * sum(r for _, r in d) / n:+.3f}")
    for temperature in (0, 0.7, 1.0):
        verdicts = [judge(a, generate(model, tok, a.prompt, temperature, seed=i)[0]) for i, (a, _) in enumerate(held_out)]
        house = sum(v[0] == "house" for v in verdicts)
        print(f"temperature {temperature}: house {100 * house / n:.0f} %  rival {100 * sum(v[0] == 'rival' for v in verdicts) / n:.0f} %  "
              f"well-formed {100 * sum(v[1] for v in verdicts) / n:.0f} %  house answers with the right fact {sum(v[2] for v in verdicts)}/{house}")
    for i, (a, _) in enumerate(held_out[:5]):
        print(repr(a.prompt))
        print("   greedy:", generate(model, tok, a.prompt, 0)[0])
        for text in generate(model, tok, a.prompt, 0.8, seed=100 + i, n=2):
            print("      0.8:", text)
    return rows


def tune(out, held_out):
    """Tune the demo's model on the demo's pairs with TRL and PEFT, and print before and after."""
    import tempfile
    import datasets
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer
    t = json.loads((out / "config.json").read_text())
    lora = {k: t.pop(k) for k in ("r", "lora_alpha", "target_modules", "use_rslora")}
    tok = AutoTokenizer.from_pretrained(out / "model")
    model = AutoModelForCausalLM.from_pretrained(out / "model", dtype=torch.float32)
    before = report("before tuning", model, tok, held_out)
    data = datasets.Dataset.from_list([json.loads(line) for line in (out / "pairs.jsonl").open(encoding="utf-8")])
    with tempfile.TemporaryDirectory() as tmp:
        args = DPOConfig(output_dir=tmp, report_to="none", save_strategy="no", logging_steps=6, disable_tqdm=True, use_cpu=True,
                         bf16=False, fp16=False, gradient_checkpointing=False, dataloader_num_workers=0, **t)
        trainer = DPOTrainer(model=model, args=args, train_dataset=data, processing_class=tok,
                             peft_config=LoraConfig(lora_dropout=0.0, bias="none", task_type="CAUSAL_LM", **lora))
        trainer.remove_callback(transformers.PrinterCallback)
        start = time.time()
        trainer.train()
        keys = ("step", "loss", "grad_norm", "rewards/accuracies", "rewards/chosen", "rewards/rejected", "logps/chosen", "num_tokens")
        for row in trainer.state.log_history:
            if "loss" in row:
                print("  ".join(f"{k} {row[k]:.3f}" if isinstance(row[k], float) else f"{k} {row[k]}" for k in keys))
        print(f"{trainer.state.global_step} optimiser steps, {time.time() - start:.0f} s")
        report("after tuning", trainer.model, tok, held_out, before)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", type=Path, required=True, help="the demo's directory")
    ap.add_argument("--only", choices=["pairs", "model", "report", "tune"], help="do one part; by default all but tune")
    ap.add_argument("--tune", action="store_true", help="also tune the model with TRL and PEFT, as a check")
    a = ap.parse_args()
    torch.set_num_threads(1)
    model_dir = a.out / "model"
    model_dir.mkdir(parents=True, exist_ok=True)

    all_asks = town(random.Random(SEED))
    pairs, held_out = make_pairs(Talk(all_asks), random.Random(SEED + 1))
    if a.only in (None, "pairs"):
        write_pairs(a.out / "pairs.jsonl", pairs)
        write_pairs(a.out / "held_out.jsonl", held_out)
        write_json(a.out / "config.json", TUNING, indent=2)
    if a.only in (None, "model"):
        kept = {h.prompt for h, _ in held_out}
        talk = Talk([x for x in all_asks if x.prompt not in kept])
        rng = random.Random(SEED + 2)
        tok = make_tokenizer([talk.text(rng) for _ in range(20000)], model_dir)
        make_model(tok, talk, rng, model_dir)
    if a.only in (None, "report"):
        tok = AutoTokenizer.from_pretrained(model_dir)
        model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
        rows = report("base model", model, tok, held_out)
        for name, ps, rs in (("held-out", held_out, rows), ("training", pairs, log_probs(model, tok, pairs))):
            longer = sum((r["n_chosen"] > r["n_rejected"]) + 0.5 * (r["n_chosen"] == r["n_rejected"]) for r in rs)
            print(f"{name}: {len(ps)} pairs, prompt {sum(r['n_prompt'] for r in rs) / len(rs):.1f} tokens, chosen {sum(r['n_chosen'] for r in rs) / len(rs):.1f}, "
                  f"rejected {sum(r['n_rejected'] for r in rs) / len(rs):.1f}; longer answer is the chosen one in {100 * longer / len(rs):.0f} %; "
                  f"untuned model prefers chosen in {100 * sum(r['chosen'] > r['rejected'] for r in rs) / len(rs):.1f} %")
    if a.tune or a.only == "tune":
        tune(a.out, held_out)


if __name__ == "__main__":
    main()
