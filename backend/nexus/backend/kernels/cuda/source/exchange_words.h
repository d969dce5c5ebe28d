// Exchange by value and epoch: each 16-byte word holds units of h and the number of its exchange,
// stored and loaded in one access. A reader polls the words themselves, so h arrives with one
// store and one load through L2: no flag, no fence, no atomic. (The idea is NCCL's low-latency
// protocol.) Epochs count exchanges over all launches, so words are never cleared.
//
// In a wavefront the layer above reads the same words as its input. It lags behind, so a ring of
// RING exchanges is kept, and before a block reuses a place it waits for the credits of all blocks
// above: one each per exchange that they have read.
#pragma once

constexpr int EXCHANGE_WORD_COUNT = BATCH_TILE * BLOCKS * WORDS_PER_ROW;  // of one exchange
constexpr int WORDS_IN_FLIGHT = smaller(ceil_div(EXCHANGE_WORD_COUNT, THREADS), 4);

struct Exchange {
  const Arguments& arguments;
  Watch& watch;
  int part;
  int steps;  // of this launch and tile

  __device__ __forceinline__ Exchange(const Arguments& arguments, Watch& watch, char*, int steps)
      : arguments(arguments), watch(watch), part(part_index()), steps(steps) {}

  __device__ __forceinline__ static int copy_of(int) { return 0; }
  __device__ __forceinline__ void open() {}

  __device__ __forceinline__ Word* words_of(int of_part, int number) const {
    const int place = (number - 1) % RING;
    return arguments.words + (size_t)((of_part * tile_count() + tile_index()) * RING + place) *
                                 EXCHANGE_WORD_COUNT;
  }
  __device__ __forceinline__ u32* credits_of(int of_part) const {
    return arguments.counters + (PARTS + of_part) * tile_count() + tile_index();
  }

  // Thread 0, before the barrier that lets the block send: has everyone above read what is there?
  __device__ __forceinline__ void wait_for_credit(int number) {
    if (LAYERS == 1 || part + 1 == LAYERS || number <= RING || watch.failed) return;
    wait_for_count(credits_of(part), (arguments.epoch + number - RING) * BLOCKS, watch);
  }

  __device__ __forceinline__ void send(int number, const float (&values)[ITEMS]) {
    Word* words = words_of(part, number);
    const int lane = threadIdx.x % 32;
    UNROLL for (int i = 0; i < ITEMS; i++) {
      const Place place = place_of(i);
      const Word word = gather(values[i], lane, arguments.epoch + number);
      if (lane < ITEM_LANES && lane % WORD_UNITS == 0 && place.row < BATCH_TILE)
        store_word(&words[(place.row * BLOCKS + blockIdx.x) * WORDS_PER_ROW +
                          place.word % WORDS_PER_ROW],
                   word);
    }
  }

  // The word that begins at this lane: its own value and those of the lanes behind it.
  __device__ __forceinline__ static Word gather(float value, int lane, u32 epoch) {
    Word word;
#if FAMILY == FAMILY_DOT
    word.payload[0] = bits_of(value);
    word.payload[1] = bits_of(shuffle(value, lane + 1));
    word.payload[2] = bits_of(shuffle(value, lane + 2));
#else
    word.payload[0] = pack_pair(value, shuffle(value, lane + 1));
    word.payload[1] = shuffle(word.payload[0], lane + 2);
    word.payload[2] = shuffle(word.payload[0], lane + 4);
#endif
    word.epoch = epoch;
    return word;
  }

  __device__ __forceinline__ void receive(int number, Element* vectors) {
    read_words(words_of(part, number), number, vectors, VECTOR_STRIDE);
  }
  __device__ __forceinline__ void receive_from_below(int number, Element* inputs) {
    read_words(words_of(part - 1, number), number, inputs, INPUT_STRIDE);
  }
  // Thread 0, behind the barrier after which nobody in the block reads that exchange any more.
  __device__ __forceinline__ void give_credit() {
    if (LAYERS > 1 && part > 0) add_release(credits_of(part - 1), 1);
  }

  // A few words of a thread are in flight before the first of them is judged.
  __device__ __forceinline__ void read_words(const Word* words, int number, Element* to,
                                             int stride) {
    for (int first = threadIdx.x; first < EXCHANGE_WORD_COUNT; first += WORDS_IN_FLIGHT * THREADS) {
      Word word[WORDS_IN_FLIGHT];
      UNROLL for (int i = 0; i < WORDS_IN_FLIGHT; i++) {
        const int index = first + i * THREADS;
        if (index < EXCHANGE_WORD_COUNT) word[i] = load_word(&words[index]);
      }
      UNROLL for (int i = 0; i < WORDS_IN_FLIGHT; i++) {
        const int index = first + i * THREADS;
        if (index >= EXCHANGE_WORD_COUNT) continue;
        if (!wait_for_epoch(&words[index], arguments.epoch + number, word[i])) return;
        unpack(word[i], index, to, stride);
      }
    }
  }

  __device__ __forceinline__ bool wait_for_epoch(const Word* address, u32 epoch, Word& word) {
    watch.begin();
    while (word.epoch != epoch) {
      if (watch.expired()) return false;
      word = load_word(address);
    }
    return true;
  }

  __device__ __forceinline__ static void unpack(const Word& word, int index, Element* to,
                                                int stride) {
    const int row = index / (BLOCKS * WORDS_PER_ROW), block = index / WORDS_PER_ROW % BLOCKS;
    const int unit = index % WORDS_PER_ROW * WORD_UNITS;
    Element* place = to + row * stride + block * UNITS + unit;
#if FAMILY == FAMILY_DOT
    UNROLL for (int i = 0; i < 3; i++)
        if (unit + i < UNITS) place[i] = float_of(word.payload[i]);
#else
    UNROLL for (int i = 0; i < 3; i++)
        if (unit + 2 * i < UNITS) *(u32*)&place[2 * i] = word.payload[i];
#endif
  }

  // Once, at the end: who ran fewer steps than the launch gives the other credits too, so that the
  // counter is again `epoch * BLOCKS` for the next launch.
  __device__ __forceinline__ void close() {
    if (LAYERS > 1 && part > 0 && threadIdx.x == 0)
      add_release(credits_of(part - 1), arguments.launch_steps - steps);
  }
};
