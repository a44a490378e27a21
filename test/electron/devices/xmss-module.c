/*
 * SoftHSM2 with one mechanism more: XMSS-SHA2_10_256 (RFC 8391), as PKCS#11 3.2 section 6.66 has it. For tests, never shipped.
 *
 * No software token offers XMSS, and the app must not sign with such keys, so this one stands in for the hardware: it makes a
 * whole tree of 1,024 one-time keys, uses each once, and knows the key's state as long as its process lives. Everything but
 * XMSS goes through to the library that CONCLAVE_SOFTHSM names. `CKA_VALUE` of the private half is never told.
 */
#include <dlfcn.h>
#include <pkcs11/pkcs11.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CKM_XMSS_KEY_PAIR_GEN 0x4034UL
#define CKM_XMSS 0x4036UL
#define CKK_XMSS 0x47UL
#define CKA_PARAMETER_SET 0x61dUL
#define CKA_COPYABLE_ 0x171UL
#define CKR_KEY_EXHAUSTED_ 0x203UL
#define XMSS_SHA2_10_256 1

/* --- SHA-256 (FIPS 180-4) --- */

static const uint32_t K[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74,
  0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d,
  0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
  0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
  0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

struct sha { uint32_t h[8]; uint8_t block[64]; size_t length; };

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha_block(struct sha *s) {
  uint32_t w[64], v[8];
  for (int i = 0; i < 16; i++) w[i] = (uint32_t)s->block[4 * i] << 24 | s->block[4 * i + 1] << 16 | s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
  for (int i = 16; i < 64; i++)
    w[i] = w[i - 16] + w[i - 7] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
  memcpy(v, s->h, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t a = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
    uint32_t b = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    for (int j = 7; j > 0; j--) v[j] = v[j - 1];
    v[4] += a;
    v[0] = a + b;
  }
  for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

static void sha_begin(struct sha *s) {
  static const uint32_t start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
  memcpy(s->h, start, sizeof start);
  s->length = 0;
}

static void sha_add(struct sha *s, const uint8_t *data, size_t length) {
  while (length > 0) {
    size_t at = s->length % 64, take = length < 64 - at ? length : 64 - at;
    memcpy(s->block + at, data, take);
    s->length += take;
    data += take;
    length -= take;
    if (at + take == 64) sha_block(s);
  }
}

static void sha_end(struct sha *s, uint8_t out[32]) {
  uint64_t bits = 8 * (uint64_t)s->length;
  uint8_t tail[8];
  sha_add(s, (const uint8_t[]){ 0x80 }, 1);
  if (s->length % 64 > 56) sha_add(s, (const uint8_t[64]){ 0 }, 64 - s->length % 64);
  if (s->length % 64 < 56) sha_add(s, (const uint8_t[64]){ 0 }, 56 - s->length % 64);
  for (int i = 0; i < 8; i++) tail[i] = (uint8_t)(bits >> (56 - 8 * i));
  sha_add(s, tail, 8);
  for (int i = 0; i < 32; i++) out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

/* --- XMSS-SHA2_10_256 (RFC 8391) --- */

#define N 32
#define HEIGHT 10
#define LEAVES (1 << HEIGHT)
#define CHAINS 67
#define SIGNATURE (4 + N + CHAINS * N + HEIGHT * N)

struct tree {
  struct sha prf;                 /* after toByte(3, 32) || SEED: one block, the same in every call */
  uint8_t secret[N], seed[N];
  uint8_t nodes[2 * LEAVES][N];   /* 1 is the root, LEAVES.. are the leaves */
  uint32_t next;
};

typedef uint32_t address[8];      /* RFC 8391 section 2.5, one layer: words 0 to 2 are zero */

static void put(uint8_t *out, uint32_t word) { for (int i = 0; i < 4; i++) out[i] = (uint8_t)(word >> (24 - 8 * i)); }

static void prf(const struct tree *t, address a, uint32_t part, uint8_t out[N]) {
  struct sha s = t->prf;
  uint8_t bytes[32];
  a[7] = part;
  for (int i = 0; i < 8; i++) put(bytes + 4 * i, a[i]);
  sha_add(&s, bytes, 32);
  sha_end(&s, out);
}

/* F (number 0) and H (number 1) over data that is masked first: n or 2n bytes. */
static void masked(const struct tree *t, uint8_t number, address a, const uint8_t *data, int halves, uint8_t out[N]) {
  uint8_t prefix[32] = { 0 }, key[N], mask[N], covered[2 * N];
  struct sha s;
  prefix[31] = number;
  prf(t, a, 0, key);
  for (int half = 0; half < halves; half++) {
    prf(t, a, (uint32_t)half + 1, mask);
    for (int i = 0; i < N; i++) covered[half * N + i] = data[half * N + i] ^ mask[i];
  }
  sha_begin(&s);
  sha_add(&s, prefix, 32);
  sha_add(&s, key, N);
  sha_add(&s, covered, (size_t)(halves * N));
  sha_end(&s, out);
}

static void chain(const struct tree *t, uint32_t leaf, uint32_t number, uint32_t to, uint8_t value[N]) {
  uint8_t place[8];
  struct sha s;
  put(place, leaf);
  put(place + 4, number);
  sha_begin(&s);
  sha_add(&s, t->secret, N);
  sha_add(&s, place, 8);
  sha_end(&s, value);
  for (uint32_t step = 0; step < to; step++) masked(t, 0, (address){ 0, 0, 0, 0, leaf, number, step }, value, 1, value);
}

static void make_leaf(struct tree *t, uint32_t leaf) {
  uint8_t ends[CHAINS + 1][N];
  uint32_t count = CHAINS;
  for (uint32_t i = 0; i < CHAINS; i++) chain(t, leaf, i, 15, ends[i]);
  for (uint32_t height = 0; count > 1; height++) {
    for (uint32_t i = 0; i < count / 2; i++) masked(t, 1, (address){ 0, 0, 0, 1, leaf, height, i }, ends[2 * i], 2, ends[i]);
    if (count % 2) memmove(ends[count / 2], ends[count - 1], N);
    count = (count + 1) / 2;
  }
  memcpy(t->nodes[LEAVES + leaf], ends[0], N);
}

static void make_tree(struct tree *t) {
  uint8_t prefix[32] = { 0 };
  prefix[31] = 3;
  sha_begin(&t->prf);
  sha_add(&t->prf, prefix, 32);
  sha_add(&t->prf, t->seed, N);
  for (uint32_t leaf = 0; leaf < LEAVES; leaf++) make_leaf(t, leaf);
  for (uint32_t height = 0; height < HEIGHT; height++) {
    uint32_t first = LEAVES >> (height + 1);
    for (uint32_t i = 0; i < first; i++) masked(t, 1, (address){ 0, 0, 0, 2, 0, height, i }, t->nodes[2 * (first + i)], 2, t->nodes[first + i]);
  }
}

/* The index is used up before anything is signed with it (SP 800-208 section 8.1). */
static void sign_message(struct tree *t, const uint8_t *message, size_t length, uint8_t out[SIGNATURE]) {
  uint32_t index = t->next++, sum = 0;
  uint8_t prefix[32] = { 0 }, number[N] = { 0 }, digest[N], digits[CHAINS];
  struct sha s;
  put(number + N - 4, index);
  put(out, index);
  sha_begin(&s);
  sha_add(&s, t->secret, N);
  sha_add(&s, number, N);
  sha_end(&s, out + 4);
  prefix[31] = 2;
  sha_begin(&s);
  sha_add(&s, prefix, 32);
  sha_add(&s, out + 4, N);
  sha_add(&s, t->nodes[1], N);
  sha_add(&s, number, N);
  sha_add(&s, message, length);
  sha_end(&s, digest);
  for (int i = 0; i < 2 * N; i++) {
    digits[i] = i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4;
    sum += 15 - digits[i];
  }
  for (int i = 0; i < 3; i++) digits[2 * N + i] = sum >> (8 - 4 * i) & 15;
  for (uint32_t i = 0; i < CHAINS; i++) chain(t, index, i, digits[i], out + 4 + N + i * N);
  for (uint32_t node = LEAVES + index, i = 0; node > 1; node /= 2, i++) memcpy(out + 4 + N + (CHAINS + i) * N, t->nodes[node ^ 1], N);
}

/* --- the token: SoftHSM2's own, and beside its objects the pairs made here --- */

#define MOST 64
#define FIRST 0x58000000UL        /* handles that SoftHSM2 does not reach: private halves even, public ones odd */
#define ATTRIBUTES 24

struct half { CK_ATTRIBUTE attributes[ATTRIBUTES]; CK_ULONG count; };
struct pair { int alive; CK_SLOT_ID slot; CK_SESSION_HANDLE session; struct half halves[2]; struct tree tree; };

static CK_FUNCTION_LIST_PTR inner;
static struct pair *pairs[MOST];
static struct { CK_SESSION_HANDLE session; CK_OBJECT_HANDLE found[2 * MOST]; CK_ULONG count; } search;
static struct { CK_SESSION_HANDLE session; struct pair *pair; } signing;

static struct pair *pair_of(CK_OBJECT_HANDLE handle) {
  CK_ULONG at = (handle - FIRST) / 2;
  return handle < FIRST || at >= MOST || !pairs[at] || !pairs[at]->alive ? NULL : pairs[at];
}

static CK_ATTRIBUTE_PTR attribute(struct half *half, CK_ATTRIBUTE_TYPE type) {
  for (CK_ULONG i = 0; i < half->count; i++) if (half->attributes[i].type == type) return &half->attributes[i];
  return NULL;
}

static void set(struct half *half, CK_ATTRIBUTE_TYPE type, const void *value, CK_ULONG length) {
  CK_ATTRIBUTE_PTR at = attribute(half, type);
  if (!at) {
    if (half->count == ATTRIBUTES) abort();
    at = &half->attributes[half->count++];
  }
  at->type = type;
  at->pValue = malloc(length + 1);
  memcpy(at->pValue, value, length);
  at->ulValueLen = length;
}

static CK_SLOT_ID slot_of(CK_SESSION_HANDLE session) {
  CK_SESSION_INFO info;
  return inner->C_GetSessionInfo(session, &info) == CKR_OK ? info.slotID : (CK_SLOT_ID)-1;
}

static CK_RV get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count) {
  CK_ULONG room = *count, own;
  CK_RV result = inner->C_GetMechanismList(slot, NULL_PTR, &own);
  if (result != CKR_OK) return result;
  *count = own + 2;
  if (!list) return CKR_OK;
  if (room < own + 2) return CKR_BUFFER_TOO_SMALL;
  result = inner->C_GetMechanismList(slot, list, &own);
  list[own] = CKM_XMSS_KEY_PAIR_GEN;
  list[own + 1] = CKM_XMSS;
  return result;
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info) {
  if (type != CKM_XMSS_KEY_PAIR_GEN && type != CKM_XMSS) return inner->C_GetMechanismInfo(slot, type, info);
  info->ulMinKeySize = info->ulMaxKeySize = 0;
  info->flags = type == CKM_XMSS ? CKF_SIGN | CKF_VERIFY : CKF_GENERATE_KEY_PAIR;
  return CKR_OK;
}

static CK_RV generate_key_pair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR public, CK_ULONG public_count,
                               CK_ATTRIBUTE_PTR private, CK_ULONG private_count, CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key) {
  const CK_BBOOL yes = CK_TRUE;
  const CK_ULONG type = CKK_XMSS, generator = CKM_XMSS_KEY_PAIR_GEN, parameters = XMSS_SHA2_10_256;
  uint8_t value[4 + 2 * N];
  CK_ULONG at = 0;
  if (mechanism->mechanism != CKM_XMSS_KEY_PAIR_GEN)
    return inner->C_GenerateKeyPair(session, mechanism, public, public_count, private, private_count, public_key, private_key);
  while (at < MOST && pairs[at]) at++;
  if (at == MOST) return CKR_DEVICE_MEMORY;
  struct pair *pair = calloc(1, sizeof *pair);
  struct half *priv = &pair->halves[0], *pub = &pair->halves[1];
  for (CK_ULONG i = 0; i < public_count; i++) set(pub, public[i].type, public[i].pValue, public[i].ulValueLen);
  for (CK_ULONG i = 0; i < private_count; i++) set(priv, private[i].type, private[i].pValue, private[i].ulValueLen);
  CK_ATTRIBUTE_PTR wanted = attribute(pub, CKA_PARAMETER_SET), copyable = attribute(priv, CKA_COPYABLE_);
  CK_ATTRIBUTE_PTR extractable = attribute(priv, CKA_EXTRACTABLE), sensitive = attribute(priv, CKA_SENSITIVE), kept = attribute(priv, CKA_TOKEN);
  if (!wanted || !extractable || !sensitive || !copyable || !kept) return free(pair), CKR_TEMPLATE_INCOMPLETE;
  if (*(CK_ULONG *)wanted->pValue != XMSS_SHA2_10_256) return free(pair), CKR_ATTRIBUTE_VALUE_INVALID;
  if (*(CK_BBOOL *)extractable->pValue || *(CK_BBOOL *)copyable->pValue || !*(CK_BBOOL *)sensitive->pValue) return free(pair), CKR_TEMPLATE_INCONSISTENT;
  CK_RV result = inner->C_GenerateRandom(session, pair->tree.secret, N);
  if (result == CKR_OK) result = inner->C_GenerateRandom(session, pair->tree.seed, N);
  if (result != CKR_OK) return free(pair), result;
  make_tree(&pair->tree);
  put(value, XMSS_SHA2_10_256);
  memcpy(value + 4, pair->tree.nodes[1], N);
  memcpy(value + 4 + N, pair->tree.seed, N);
  set(pub, CKA_VALUE, value, sizeof value);
  set(priv, CKA_PARAMETER_SET, &parameters, sizeof parameters);
  set(priv, CKA_ALWAYS_SENSITIVE, &yes, 1);
  set(priv, CKA_NEVER_EXTRACTABLE, &yes, 1);
  for (int i = 0; i < 2; i++) {
    set(&pair->halves[i], CKA_KEY_TYPE, &type, sizeof type);
    set(&pair->halves[i], CKA_LOCAL, &yes, 1);
    set(&pair->halves[i], CKA_KEY_GEN_MECHANISM, &generator, sizeof generator);
  }
  pair->alive = 1;
  pair->slot = slot_of(session);
  pair->session = *(CK_BBOOL *)kept->pValue ? 0 : session;
  pairs[at] = pair;
  *private_key = FIRST + 2 * at;
  *public_key = FIRST + 2 * at + 1;
  return CKR_OK;
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count) {
  CK_SLOT_ID slot = slot_of(session);
  search.session = session;
  search.count = 0;
  for (CK_ULONG handle = FIRST; handle < FIRST + 2 * MOST; handle++) {
    struct pair *pair = pair_of(handle);
    CK_ULONG i = 0;
    if (!pair || pair->slot != slot) continue;
    for (; i < count; i++) {
      CK_ATTRIBUTE_PTR own = attribute(&pair->halves[handle % 2], template[i].type);
      if (!own || own->ulValueLen != template[i].ulValueLen || memcmp(own->pValue, template[i].pValue, own->ulValueLen)) break;
    }
    if (i == count) search.found[search.count++] = handle;
  }
  return inner->C_FindObjectsInit(session, template, count);
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR found, CK_ULONG most, CK_ULONG_PTR count) {
  CK_RV result = inner->C_FindObjects(session, found, most, count);
  if (result == CKR_OK && search.session == session) while (*count < most && search.count) found[(*count)++] = search.found[--search.count];
  return result;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template, CK_ULONG count) {
  struct pair *pair = pair_of(object);
  CK_RV result = CKR_OK;
  if (!pair) return inner->C_GetAttributeValue(session, object, template, count);
  for (CK_ULONG i = 0; i < count; i++) {
    CK_ATTRIBUTE_PTR own = attribute(&pair->halves[object % 2], template[i].type);
    if (!own) {
      template[i].ulValueLen = (CK_ULONG)-1;
      result = template[i].type == CKA_VALUE ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
      continue;
    }
    if (template[i].pValue) memcpy(template[i].pValue, own->pValue, own->ulValueLen);
    template[i].ulValueLen = own->ulValueLen;
  }
  return result;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  struct pair *pair = pair_of(key);
  if (!pair) return inner->C_SignInit(session, mechanism, key);
  if (mechanism->mechanism != CKM_XMSS || key % 2) return CKR_KEY_TYPE_INCONSISTENT;
  signing.session = session;
  signing.pair = pair;
  return CKR_OK;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature, CK_ULONG_PTR signature_length) {
  struct pair *pair = signing.pair;
  if (!pair || signing.session != session) return inner->C_Sign(session, data, length, signature, signature_length);
  CK_ULONG room = *signature_length;
  *signature_length = SIGNATURE;
  if (!signature) return CKR_OK;
  if (room < SIGNATURE) return CKR_BUFFER_TOO_SMALL;
  signing.pair = NULL;
  if (pair->tree.next == LEAVES) return CKR_KEY_EXHAUSTED_;
  sign_message(&pair->tree, data, length, signature);
  return CKR_OK;
}

static CK_RV destroy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
  struct pair *pair = pair_of(object);
  if (!pair) return inner->C_DestroyObject(session, object);
  pair->alive = 0; /* both halves: nothing here needs one without the other */
  return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
  for (int i = 0; i < MOST; i++) if (pairs[i] && pairs[i]->session == session) pairs[i]->alive = 0;
  return inner->C_CloseSession(session);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  static CK_FUNCTION_LIST functions;
  const char *path = getenv("CONCLAVE_SOFTHSM");
  void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
  if (!get || get(&inner) != CKR_OK) return CKR_GENERAL_ERROR;
  functions = *inner;
  functions.C_GetMechanismList = get_mechanism_list;
  functions.C_GetMechanismInfo = get_mechanism_info;
  functions.C_GenerateKeyPair = generate_key_pair;
  functions.C_FindObjectsInit = find_objects_init;
  functions.C_FindObjects = find_objects;
  functions.C_GetAttributeValue = get_attribute_value;
  functions.C_SignInit = sign_init;
  functions.C_Sign = sign;
  functions.C_DestroyObject = destroy_object;
  functions.C_CloseSession = close_session;
  *list = &functions;
  return CKR_OK;
}
