#include "ha/turn.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <thread>
#include <vector>

#include "cryptoki/attribute_reader.h"
#include "cryptoki/template.h"
#include "ha/domain/generation.h"
#include "ha/inventory.h"
#include "ha/judge.h"
#include "ha/notes/note.h"
#include "ha/repetition.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Template;

namespace {

constexpr int kMostTries = 100;

Template anyClaim() {
  Template wanted;
  wanted.addUlong(CKA_CLASS, CKO_DATA);
  wanted.addText(CKA_APPLICATION, notes::kApplication);
  wanted.addText(CKA_LABEL, Turn::kLabel);
  return wanted;
}

}  // namespace

std::uint64_t Turn::drawOwner() {
  const auto made = domain::makeGeneration(0, false);
  auto value = static_cast<std::uint64_t>(base::now().time_since_epoch().count());
  if (made) std::memcpy(&value, made->random.data(), sizeof value);
  return value;
}

std::string Turn::Claim::text() const {
  return std::to_string(number) + ' ' + std::to_string(owner) + ' ' + std::to_string(life);
}

std::optional<Turn::Claim> Turn::Claim::parse(std::span<const std::uint8_t> value) {
  Claim claim;
  const char* at = reinterpret_cast<const char*>(value.data());
  const char* const end = at + value.size();
  for (std::uint64_t* const field : {&claim.number, &claim.owner, &claim.life}) {
    if (field != &claim.number && (at == end || *at++ != ' ')) return std::nullopt;
    const auto [after, error] = std::from_chars(at, end, *field);
    if (error != std::errc()) return std::nullopt;
    at = after;
  }
  return at == end ? std::optional(claim) : std::nullopt;
}

Turn::Turn(cryptoki::Member& member, CK_SESSION_HANDLE session, std::uint64_t owner, const Patience& patience)
    : patience_(patience), member_(member), session_(session) {
  own_.owner = owner;
}

Turn::~Turn() {
  if (state_ == State::Held) dropAll();
}

// Between the look at the others' numbers and the own one, nobody may believe that there is none.
std::uint64_t Turn::enter() {
  put(own_);
  if (state_ != State::Held) return 0;
  std::uint64_t highest = 0;
  const auto seen = look();
  for (const Seen& each : seen.value_or(std::vector<Seen>())) {
    if (each.claim.owner != own_.owner) {
      highest = std::max(highest, each.claim.number);
      continue;
    }
    for (const CK_OBJECT_HANDLE handle : each.handles) {
      if (handle != claims_.back()) drop(handle);
    }
  }
  return highest;
}

void Turn::draw(std::uint64_t number) {
  if (state_ != State::Held) return;
  own_.number = number;
  put(own_);
  renewed_ = base::now();
}

bool Turn::renew() {
  if (state_ != State::Held || base::now() - renewed_ < patience_.renewal()) return isOurs();
  ++own_.life;
  put(own_);
  if (state_ != State::Held) return false;
  renewed_ = base::now();
  while (claims_.size() > 2) {
    const CK_OBJECT_HANDLE oldest = claims_.front();
    claims_.pop_front();
    if (drop(oldest) != CKR_OBJECT_HANDLE_INVALID) continue;
    dropAll();
    state_ = State::Over;
  }
  return isOurs();
}

void Turn::dropAll() {
  for (const CK_OBJECT_HANDLE handle : claims_) drop(handle);
  claims_.clear();
}

// The state is another if it could not be put there.
void Turn::put(const Claim& claim) {
  Template wanted = anyClaim();
  const std::string text = claim.text();
  wanted.addBool(CKA_TOKEN, true);
  wanted.addBool(CKA_PRIVATE, false);
  wanted.addText(CKA_VALUE, text);
  Repetition repetition(kMostTries);
  for (;;) {
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    const auto outcome = member_.execute(makeCall<Fn::CreateObject>(session_, wanted.data(), wanted.count(), &made));
    if (outcome.rv == CKR_OK) return claims_.push_back(made);
    if (repetition.isWorthIt(member_, session_, outcome.rv)) continue;
    const bool isAnswer = !isLoss(outcome) && cryptoki::classify(outcome.rv) != cryptoki::RvClass::Ask;
    state_ = isAnswer && claims_.empty() ? State::Open : State::Over;
    if (isAnswer) dropAll();
    return;
  }
}

CK_RV Turn::drop(CK_OBJECT_HANDLE handle) { return member_.execute(makeCall<Fn::DestroyObject>(session_, handle)).rv; }

// Nothing, and the turn is over: the member does not say. One that took longer than both of a living owner's claims are
// sure to stand may have missed them.
std::optional<std::vector<Turn::Seen>> Turn::look() {
  const base::Monotonic until = base::now() + patience_.unchanged;
  for (;;) {
    const base::Monotonic begun = base::now();
    bool isWhole = true;
    auto seen = lookOnce(isWhole);
    if (!seen) {
      forget();
      return std::nullopt;
    }
    seen_ = *seen;
    isWhole = isWhole && base::now() - begun < patience_.renewal();
    if (isWhole || base::now() >= until) return seen;
    std::this_thread::sleep_for(patience_.look);
  }
}

std::optional<std::vector<Turn::Seen>> Turn::lookOnce(bool& isWhole) {
  static constexpr CK_ATTRIBUTE_TYPE kRead[] = {CKA_VALUE};
  std::vector<CK_OBJECT_HANDLE> handles;
  for (Repetition repetition(kMostTries);;) {
    Template query = anyClaim();
    const CK_RV listed = listObjects(member_, session_, query, handles).rv;
    if (listed == CKR_OK) break;
    if (!repetition.isWorthIt(member_, session_, listed)) return std::nullopt;
  }
  std::vector<Seen> seen;
  for (const CK_OBJECT_HANDLE handle : handles) {
    Template read;
    const auto outcome = cryptoki::readAttributes(member_, session_, handle, kRead, read);
    if (isLoss(outcome)) return std::nullopt;
    // One that has gone may have been renewed.
    isWhole = isWhole && outcome.rv == CKR_OK;
    const auto value = read.find(CKA_VALUE);
    const auto claim = value ? Claim::parse(*value) : std::nullopt;
    if (!claim) continue;
    auto known =
        std::find_if(seen.begin(), seen.end(), [&](const Seen& each) { return each.claim.owner == claim->owner; });
    if (known == seen.end()) known = seen.insert(seen.end(), {*claim, {}, {}});
    if (claim->replaces(known->claim)) known->claim = *claim;
    known->handles.push_back(handle);
  }
  for (Seen& each : seen) each.since = sinceWhen(each.claim);
  return seen;
}

base::Monotonic Turn::sinceWhen(const Claim& claim) const {
  const auto known = std::find_if(seen_.begin(), seen_.end(), [&](const Seen& each) { return each.claim == claim; });
  return known == seen_.end() ? base::now() : known->since;
}

void Turn::wait(const Meanwhile& meanwhile) {
  const base::Monotonic begun = base::now();
  while (state_ == State::Held) {
    auto seen = look();
    if (!seen) return;
    std::erase_if(*seen, [this](const Seen& each) { return each.claim.owner == own_.owner; });
    const auto first = std::min_element(seen->begin(), seen->end(),
                                        [](const Seen& a, const Seen& b) { return a.claim.isBefore(b.claim); });
    if (first == seen->end() || !first->claim.isBefore(own_)) return;
    if (base::now() - first->since >= patience_.unchanged) {
      for (const CK_OBJECT_HANDLE handle : first->handles) drop(handle);
      continue;
    }
    // Tokens tell nobody of changes.
    std::this_thread::sleep_for(patience_.look);
    if (meanwhile && !meanwhile(base::now() - begun)) {
      dropAll();
      return forget();
    }
    // Others that thought it dead may have gone ahead.
    if (!renew()) return;
  }
}

}  // namespace p11ha::ha
