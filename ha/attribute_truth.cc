#include "ha/attribute_truth.h"

#include <algorithm>
#include <cstring>

#include "ha/sealed_shape.h"

namespace p11ha::ha {

using cryptoki::Template;
using notes::Truth;

namespace {

constexpr CK_ATTRIBUTE_TYPE kRecorded[] = {CKA_LOCAL, CKA_KEY_GEN_MECHANISM, CKA_ALWAYS_SENSITIVE,
                                           CKA_NEVER_EXTRACTABLE, CKA_VALUE_LEN};

template <class Value>
Value* valueOf(const CK_ATTRIBUTE& attribute) {
  return attribute.pValue == nullptr || attribute.ulValueLen != sizeof(Value) ? nullptr
                                                                              : static_cast<Value*>(attribute.pValue);
}

template <class Value>
void put(const CK_ATTRIBUTE& attribute, Value value) {
  if (valueOf<Value>(attribute) != nullptr) std::memcpy(attribute.pValue, &value, sizeof value);
}

bool isTrue(const Template& asked, CK_ATTRIBUTE_TYPE type) { return asked.boolean(type).value_or(false); }

CK_BBOOL flagOf(const Truth& truth, CK_ATTRIBUTE_TYPE type) {
  switch (type) {
    case CKA_LOCAL:
      return truth.local ? CK_TRUE : CK_FALSE;
    case CKA_ALWAYS_SENSITIVE:
      return truth.alwaysSensitive ? CK_TRUE : CK_FALSE;
    default:
      return truth.neverExtractable ? CK_TRUE : CK_FALSE;
  }
}

// PKCS #11 v3.0, 4.7 to 4.11.
bool isOf(CK_OBJECT_CLASS objectClass, CK_ATTRIBUTE_TYPE type) {
  switch (objectClass) {
    case CKO_PRIVATE_KEY:
    case CKO_SECRET_KEY:
      return true;
    case CKO_PUBLIC_KEY:
      return type == CKA_LOCAL || type == CKA_KEY_GEN_MECHANISM;
    default:
      return type == CKA_LOCAL;
  }
}

bool isFlag(const CK_ATTRIBUTE& wanted, bool value) {
  const CK_BBOOL* const flag = valueOf<CK_BBOOL>(wanted);
  return flag != nullptr && *flag == (value ? CK_TRUE : CK_FALSE);
}

bool isNumber(const CK_ATTRIBUTE& wanted, CK_ULONG value) {
  return valueOf<CK_ULONG>(wanted) != nullptr && std::memcmp(wanted.pValue, &value, sizeof value) == 0;
}

}  // namespace

bool isRecorded(CK_ATTRIBUTE_TYPE type) {
  return std::find(std::begin(kRecorded), std::end(kRecorded), type) != std::end(kRecorded);
}

bool namesRecorded(std::span<const CK_ATTRIBUTE> attributes) {
  return std::any_of(attributes.begin(), attributes.end(),
                     [](const CK_ATTRIBUTE& attribute) { return isRecorded(attribute.type); });
}

Truth truthIn(std::span<const CK_ATTRIBUTE> answered) {
  Truth truth;
  for (const CK_ATTRIBUTE& attribute : answered) {
    if (attribute.type == CKA_LOCAL) truth.local = isFlag(attribute, true);
    if (attribute.type == CKA_ALWAYS_SENSITIVE) truth.alwaysSensitive = isFlag(attribute, true);
    if (attribute.type == CKA_NEVER_EXTRACTABLE) truth.neverExtractable = isFlag(attribute, true);
    if (attribute.type == CKA_KEY_GEN_MECHANISM && valueOf<CK_ULONG>(attribute) != nullptr)
      std::memcpy(&truth.keyGenMechanism, attribute.pValue, sizeof truth.keyGenMechanism);
    if (attribute.type == CKA_VALUE_LEN && valueOf<CK_ULONG>(attribute) != nullptr)
      std::memcpy(&truth.valueLength, attribute.pValue, sizeof truth.valueLength);
  }
  return truth;
}

Truth inCommon(const Truth& one, const Truth& other) {
  Truth both{one.local && other.local,
             one.alwaysSensitive && other.alwaysSensitive,
             one.neverExtractable && other.neverExtractable,
             one.asShaped && other.asShaped,
             one.keyGenMechanism,
             one.notSensitive && other.notSensitive,
             one.wrapWithTrusted && other.wrapWithTrusted,
             std::max(one.valueLength, other.valueLength)};
  // A clone may have none.
  if (one.valueLength != other.valueLength && one.valueLength != 0 && other.valueLength != 0) both.valueLength = 0;
  if (one.keyGenMechanism != other.keyGenMechanism) both.keyGenMechanism = CK_UNAVAILABLE_INFORMATION;
  return both;
}

void tellRecorded(std::span<CK_ATTRIBUTE> answered, const Truth& truth) {
  for (const CK_ATTRIBUTE& attribute : answered) {
    if (!isRecorded(attribute.type)) continue;
    if (attribute.type == CKA_KEY_GEN_MECHANISM) {
      put<CK_ULONG>(attribute, truth.keyGenMechanism);
    } else if (attribute.type == CKA_VALUE_LEN) {
      if (truth.valueLength != 0) put<CK_ULONG>(attribute, truth.valueLength);
    } else {
      put<CK_BBOOL>(attribute, flagOf(truth, attribute.type));
    }
  }
}

bool asksForShape(const Template& asked) {
  return isTrue(asked, CKA_EXTRACTABLE) && isTrue(asked, CKA_WRAP_WITH_TRUSTED) &&
         asked.boolean(CKA_SENSITIVE).value_or(true);
}

Truth withSealed(Truth truth, const Template& asked) {
  truth.notSensitive = !asked.boolean(CKA_SENSITIVE).value_or(true);
  truth.wrapWithTrusted = isTrue(asked, CKA_WRAP_WITH_TRUSTED);
  return truth;
}

Truth truthOfGenerated(const Truth& made, const Template& given, const Template* asked) {
  Truth truth = made;
  if (asked == nullptr) {
    truth.asShaped = asksForShape(given);
    return truth;
  }
  truth = withSealed(truth, *asked);
  truth.alwaysSensitive = !truth.notSensitive;
  truth.neverExtractable = true;
  return truth;
}

Truth truthOfDerived(const Truth& base, bool sensitive, bool extractable) {
  Truth truth;
  truth.alwaysSensitive = base.alwaysSensitive && sensitive;
  truth.neverExtractable = base.neverExtractable && !extractable;
  return truth;
}

bool TruthSearch::admits(CK_OBJECT_CLASS objectClass, const Truth& truth, bool isSealed, bool fitsLength) const {
  const auto fits = [&](const CK_ATTRIBUTE& wanted) {
    switch (wanted.type) {
      case CKA_KEY_GEN_MECHANISM:
        return isOf(objectClass, wanted.type) && isNumber(wanted, truth.keyGenMechanism);
      case CKA_VALUE_LEN:
        return truth.valueLength == 0 ? fitsLength : isNumber(wanted, truth.valueLength);
      case CKA_LOCAL:
      case CKA_ALWAYS_SENSITIVE:
      case CKA_NEVER_EXTRACTABLE:
        return isOf(objectClass, wanted.type) && isFlag(wanted, flagOf(truth, wanted.type) == CK_TRUE);
      case CKA_SENSITIVE:
        return !isSealed || isFlag(wanted, truth.asShaped || !truth.notSensitive);
      case CKA_EXTRACTABLE:
        return !isSealed || isFlag(wanted, truth.asShaped);
      case CKA_WRAP_WITH_TRUSTED:
        return !isSealed || isFlag(wanted, truth.asShaped || truth.wrapWithTrusted);
      default:
        return true;
    }
  };
  const auto attributes = query.attributes();
  return std::all_of(attributes.begin(), attributes.end(), fits);
}

TruthSearch truthSearch(const Template& query) {
  TruthSearch search;
  search.query = query;
  for (const CK_ATTRIBUTE_TYPE type : kShape) search.sealed.addBool(type, true);
  for (const CK_ATTRIBUTE& attribute : query.attributes()) {
    const bool recorded = isRecorded(attribute.type);
    const bool shape = isShape(attribute.type);
    search.namesRecorded = search.namesRecorded || recorded;
    search.namesShape = search.namesShape || shape;
    if (attribute.type == CKA_VALUE_LEN && search.length.empty()) search.length.appendFrom(query, attribute.type);
    if (!recorded && !search.apart.has(attribute.type)) search.apart.appendFrom(query, attribute.type);
    if (!recorded && !search.sealed.has(attribute.type)) search.sealed.appendFrom(query, attribute.type);
  }
  return search;
}

}  // namespace p11ha::ha
